// #region region
const winter = 2
// #endregion region
