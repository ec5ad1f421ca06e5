"""Every error of the suite. Its class is the verdict; no class knows a transport.

TenantryError
├── PermanentError                 the same request can never succeed
│   ├── InvalidRequestError        a header or parameter is wrong
│   ├── MalformedBodyError         the body is not JSON
│   ├── InvalidMessageError        the body is JSON, but not a message
│   ├── MessageTooLargeError
│   ├── UnsupportedMediaTypeError
│   ├── UnauthenticatedError       no token, or one that does not verify
│   ├── TenantMismatchError        the tenantID header names another tenant than the token
│   ├── UnknownTenantError
│   ├── TenantSuspendedError
│   └── MessageNotFoundError       not stored, or not this tenant's
└── TransientError                 the same request may succeed later
    ├── RateLimitedError
    ├── RequestTimeoutError        the client sent its body too slowly
    ├── NotAcceptedError           nothing was sent
    ├── OutcomeUnknownError        sent, and no answer came
    ├── MisplacedError             the queue of this tenant cannot be used from here
    ├── RegistryUnavailableError   the placement cannot be learnt
    ├── IdentityUnavailableError   the keys that verify tokens cannot be learnt
    └── StoreUnavailableError      the table cannot be read
"""

from __future__ import annotations


class TenantryError(Exception):
    """The root: `detail` is written for the person who has to act on it."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class PermanentError(TenantryError):
    """The same request can never succeed."""


class TransientError(TenantryError):
    """The same request may succeed later: `retry_after` in whole seconds."""

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class InvalidRequestError(PermanentError):
    """A header or a parameter is wrong."""


class MalformedBodyError(PermanentError):
    """The body is not JSON; `detail` says where."""


class InvalidMessageError(PermanentError):
    """The body is JSON, but not a message that can be stored unchanged.

    `pointer` is the RFC 6901 JSON pointer of the place, where one is known.
    """

    def __init__(self, detail: str, pointer: str | None = None) -> None:
        super().__init__(detail)
        self.pointer = pointer


class MessageTooLargeError(PermanentError):
    """Larger than the tenant's queue or one item takes."""


class UnsupportedMediaTypeError(PermanentError):
    """The body is said to be something else than JSON."""


class UnauthenticatedError(PermanentError):
    """No token, or one that does not verify."""


class TenantMismatchError(PermanentError):
    """The tenantID header names another tenant than the token."""


class UnknownTenantError(PermanentError):
    """The registry knows no such tenant, or knows that it left."""


class TenantSuspendedError(PermanentError):
    """The tenant is suspended, or being offboarded."""


class MessageNotFoundError(PermanentError):
    """Not stored, or not this tenant's: the two look the same."""


class RateLimitedError(TransientError):
    """The tenant's rate, in write units a second, is used up."""


class RequestTimeoutError(TransientError):
    """The client sent its body too slowly."""


class NotAcceptedError(TransientError):
    """Nothing was sent: retrying cannot make a second message."""


class OutcomeUnknownError(TransientError):
    """Sent, and no answer came: retry with the same Idempotency-Key."""


class MisplacedError(TransientError):
    """The tenant's queue does not exist, or this instance may not send to it."""


class RegistryUnavailableError(TransientError):
    """The placement cannot be learnt, and the last one known is too old to use.

    `of_one_tenant` if the registry answers, and only this tenant's item is not understood.
    """

    def __init__(self, detail: str, retry_after: int = 1, *, of_one_tenant: bool = False) -> None:
        super().__init__(detail, retry_after)
        self.of_one_tenant = of_one_tenant


class IdentityUnavailableError(TransientError):
    """The keys that verify tokens cannot be learnt, and the last ones known are too old."""


class StoreUnavailableError(TransientError):
    """The table cannot be read."""
