class Spring {
    // <turn>
    void Turn() { }
    // </turn>
}
