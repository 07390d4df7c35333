"""The refusals of OSS: code, status and message of each."""

from __future__ import annotations

from collections.abc import Mapping

_KNOWN = {
    "AccessDenied": (403, "You have no right to access this object because of bucket acl."),
    "BucketAlreadyExists": (409, "The requested bucket name is not available."),
    "BucketNotEmpty": (409, "The bucket you tried to delete is not empty."),
    "DownloadTrafficRateLimitExceeded": (503, "The download traffic rate exceeds the limit."),
    "FileAlreadyExists": (409, "The object you specified already exists and can not be overwritten."),
    "InternalError": (500, "We encountered an internal error. Please try again."),
    "InvalidAccessKeyId": (403, "The OSS Access Key Id you provided does not exist in our records."),
    "InvalidArgument": (400, "An argument is invalid."),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "InvalidDigest": (400, "The Content-MD5 you specified was invalid."),
    "InvalidObjectName": (400, "The specified object is not valid."),
    "InvalidPart": (400, "One or more of the specified parts could not be found or the etag might not match."),
    "InvalidPartOrder": (400, "The list of parts was not in ascending order."),
    "InvalidRange": (416, "The requested range cannot be satisfied"),
    "InvalidSecurityToken": (403, "The security token you provided is invalid."),
    "MalformedXML": (400, "The XML you provided was not well-formed or did not validate against our published schema."),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "MissingContentLength": (411, "You must provide the Content-Length HTTP header."),
    "NoSuchBucket": (404, "The specified bucket does not exist."),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchUpload": (404, "The specified upload does not exist."),
    "NotImplemented": (501, "A header or query parameter you provided implies functionality not implemented."),
    "NotModified": (304, ""),
    "PositionNotEqualToLength": (409, "Position is not equal to file length"),
    "PreconditionFailed": (412, "At least one of the pre-conditions you specified did not hold."),
    "RequestTimeTooSkewed": (403, "The difference between the request time and the current time is too large."),
    "SecondLevelDomainForbidden": (
        403,
        "The bucket you are attempting to access must be addressed using OSS third level domain.",
    ),
    "SecurityTokenExpired": (403, "The security token you provided has expired."),
    "ServerBusy": (503, "Please reduce your request rate."),
    "SignatureDoesNotMatch": (
        403,
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method.",
    ),
}


class OssError(Exception):
    """A request is refused.

    details  further elements of the answer's XML
    status   of a code that is not known here
    headers  of the answer
    """

    def __init__(
        self,
        code: str,
        message: str = "",
        details: Mapping[str, str] | None = None,
        status: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code, message, details, status, headers)
        known_status, known_message = _KNOWN.get(code, (status, ""))
        self.code = code
        self.status = status or known_status
        self.message = message or known_message
        self.details = dict(details or {})
        self.headers = dict(headers or {})

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.message}"


def invalid_argument(name: str, value: str) -> OssError:
    """That a parameter has a value that it cannot have."""
    return OssError("InvalidArgument", details={"ArgumentName": name, "ArgumentValue": value})
