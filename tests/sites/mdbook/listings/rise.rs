// ANCHOR: main
fn rise() {}
// ANCHOR_END: main
