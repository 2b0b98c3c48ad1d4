"""Every exception the package raises on purpose.

::

    Jhk8sError
    ├── ConfigError      the operator's settings cannot work
    ├── IdentityError    an account cannot become, or no longer is, a profile
    ├── OptionsError     what a user asked for is not on offer
    └── UpstreamError    a service we depend on is down or answers nonsense

``hub/`` alone translates these into what JupyterHub expects (a failed start-up, 403, 400, 503);
everything below it raises them and knows nothing of HTTP. The text of each is one sentence for a
person, holds no secret, and names the value and the setting.
"""


class Jhk8sError(Exception):
    """Base of the package's own exceptions."""


class ConfigError(Jhk8sError):
    """A setting cannot work.

    Parameters
    ----------
    setting
        The setting's full path, as in ``ProfileKubeSpawner.home_links['work']``.
    problem
        What is wrong, with the value, fit to follow the path and a colon.
    """

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting}: {problem}")
        self.setting = setting
        self.problem = problem


class IdentityError(Jhk8sError):
    """An account of the source cannot be a profile, or is not the one it claims to be."""


class OptionsError(Jhk8sError):
    """A user option is unknown, not on offer to this user, or of the wrong type.

    Parameters
    ----------
    field
        The key in ``user_options``.
    problem
        What is wrong with it, fit to follow the field and a colon.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"user_options[{field!r}]: {problem}")
        self.field = field


class UpstreamError(Jhk8sError):
    """A directory, provider, registry or API server is down, slow or incomprehensible.

    Never raised for a refusal: a wrong password is an answer.
    """
