"""The one exception a user may see."""


class UserError(Exception):
    """A mistake the user can mend. The message names the thing and says what to do; no traceback is shown."""
