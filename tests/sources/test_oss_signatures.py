"""Signatures: ours are those of oss2, which has the last word where OSS refuses one."""

from __future__ import annotations

import calendar
import datetime
import email.utils
import logging
import random
import string
import sys
import time
from typing import Any

import oss2
import pytest
from oss.bucket import Bucket
from oss.faults import Status
from oss.server import Rule
from oss_reading import read_small

from alluxio_jnifuse.sources.oss import dates
from alluxio_jnifuse.sources.oss.auth import sdk, signatures
from alluxio_jnifuse.sources.oss.auth.credentials import Credentials
from alluxio_jnifuse.sources.oss.auth.signatures import Scope, Unsigned
from alluxio_jnifuse.sources.oss.objects.pages import Pages

REGION = "cn-hangzhou"
CHARACTERS = string.printable[:95] + "äß中文е\u0301🎈\x01\x7f\u2028"
WRONG = "SignatureDoesNotMatch"


class Listed:
    """A client that remembers the parameters of listings, and answers that there is more."""

    def __init__(self, page: str) -> None:
        self.page = page
        self.names: set[str] = set()

    def ask(self, kind: str, key: str, params: dict[str, str], patience: Any) -> tuple[dict[str, str], bytes]:
        self.names |= set(params)
        return {}, (
            f"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>{self.page}"
            "<Contents><Key>k</Key><Size>1</Size><LastModified>2026-01-31T12:34:56.000Z</LastModified></Contents>"
            "</ListBucketResult>"
        ).encode()


class Patience:
    def came(self) -> None:
        """Nothing is counted."""


def parameters() -> list[str]:
    """The names of all parameters that the client sends: of listings, the first page and the next."""
    names: set[str] = set()
    for page in ("<NextContinuationToken>t</NextContinuationToken>", "<NextMarker>k</NextMarker>"):
        client = Listed(page)
        pages = Pages(client)  # type: ignore[arg-type]
        following = pages.all("", Patience())  # type: ignore[arg-type]
        next(following)
        with pytest.raises(Exception, match="again and again"):
            next(following)
        names |= client.names
    return sorted(names)


def text(chance: random.Random, most: int) -> str:
    return "".join(chance.choices(CHARACTERS, k=chance.randint(0, most)))


def word(chance: random.Random, most: int) -> str:
    return "".join(chance.choices(string.printable[:95], k=chance.randint(1, most)))


def requests(chance: random.Random, names: list[str]) -> tuple[Unsigned, Credentials]:
    """Some request, and whose it is."""
    credentials = Credentials(word(chance, 30).strip() or "k", word(chance, 40), chance.choice(["", word(chance, 200)]))
    params = {name: text(chance, 30) for name in chance.sample(names, chance.randint(0, len(names)))}
    known = {
        "range": f"bytes={chance.randint(0, 1 << 40)}-{chance.randint(0, 1 << 40)}",
        "if-match": f'"{word(chance, 30)}"',
        "x-oss-range-behavior": "standard",
        "x-oss-traffic-limit": str(chance.randint(1, 1 << 30)),
    }
    headers = {name: known[name] for name in chance.sample(sorted(known), chance.randint(0, len(known)))}
    method = chance.choice(["GET", "HEAD"])
    return Unsigned(method, f"bucket-{chance.randint(0, 99)}", text(chance, 60), params, headers), credentials


@pytest.mark.parametrize("version", ["V1", "V4"])
def test_signatures_are_those_of_oss2(version: str) -> None:
    """Byte for byte, whatever is asked for, with all that the client sends."""
    chance = random.Random(f"signatures {version}")
    names = parameters()
    for _ in range(3000):
        request, credentials = requests(chance, names)
        theirs = sdk.signed(request, credentials, version, REGION)
        if version == "V1":
            ours = signatures.v1(request, credentials, dates.of_http(theirs["date"]))
        else:
            now = dates.of_compact(theirs["x-oss-date"])
            ours = signatures.v4(request, Scope(credentials, REGION, now), now)
        assert ours == theirs, request


def test_parameters_that_version_1_signs() -> None:
    """Are known: the others of those that the client sends are not signed by oss2."""
    names = parameters()
    assert {"prefix", "list-type", "marker", "continuation-token"} <= set(names)
    assert set(names) & oss2.Auth._subresource_key_set == signatures._SIGNED_BY_1


def test_the_scope_of_a_signature_is_a_day_and_a_key() -> None:
    """Of version 4: yesterday's signs nothing today, nor does that of other credentials."""
    credentials = Credentials("id", "secret")
    midnight = calendar.timegm((2026, 2, 1, 0, 0, 0))
    scope = Scope(credentials, REGION, midnight - 1)
    assert scope.text == f"20260131/{REGION}/oss/aliyun_v4_request"
    assert scope.fits(credentials, midnight - 86400)
    assert not scope.fits(credentials, midnight)
    assert not scope.fits(Credentials("id", "secret"), midnight - 1)


# -------------------------------------------------------------------------------------------------------- refusals


def listings(bucket: Bucket) -> int:
    return len(bucket.server.requests())


@pytest.mark.parametrize("region", ["", REGION])
def test_a_right_signature_that_is_refused(
    bucket: Bucket, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, region: str
) -> None:
    """Is compared with that of oss2, once; the request is not sent again, for the secret must be wrong."""
    compared = []
    signed = sdk.signed
    monkeypatch.setattr(sdk, "signed", lambda *words: compared.append(words) or signed(*words))
    source = bucket.source(bucket.config(bucket.properties(region=region)))
    before = listings(bucket)
    bucket.server.add_rule(Rule(Status(WRONG), count=2))
    for _ in range(2):
        with pytest.raises(OSError, match=WRONG):
            source.stat(b"/file")
    assert listings(bucket) == before + 2
    assert len(compared) == 1
    assert "oss2" not in caplog.text
    source.close()


@pytest.mark.parametrize("version", ["v1", "v4"])
def test_a_wrong_signature_is_made_by_oss2(
    bucket: Bucket, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """From the first that is refused on; one line of the log says so."""
    right = getattr(signatures, version)

    def wrong(*words: Any) -> dict[str, str]:
        headers: dict[str, str] = right(*words)
        said = headers["authorization"].rstrip("=")
        return {**headers, "authorization": said[:-1] + ("1" if said[-1] == "0" else "0")}

    monkeypatch.setattr(signatures, version, wrong)
    bucket.put("file", b"contents")
    with caplog.at_level(logging.WARNING):
        source = bucket.source(bucket.config(bucket.properties(region=REGION if version == "v4" else "")))
        assert read_small(source, b"/file") == b"contents"
    assert caplog.text.count("oss2 makes in another way") == 1
    source.close()


def test_oss2_that_cannot_be_loaded(
    bucket: Bucket, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cannot be asked: it is as OSS says."""
    source = bucket.source()
    monkeypatch.setitem(sys.modules, "oss2", None)
    bucket.server.add_rule(Rule(Status(WRONG), count=1))
    with pytest.raises(OSError, match=WRONG):
        source.stat(b"/file")
    assert "oss2 cannot be asked" in caplog.text
    source.close()


# ----------------------------------------------------------------------------------------------------------- times


def test_every_date() -> None:
    """Of some centuries, and no other."""
    epoch = datetime.date(1970, 1, 1).toordinal()
    first, last = (datetime.date(year, 1, 1).toordinal() for year in (1890, 2110))
    for ordinal in (*range(1, 800), *range(first, last)):
        date = datetime.date.fromordinal(ordinal)
        assert dates.days(date.year, date.month, date.day) == ordinal - epoch, date
    for wrong in ((0, 1, 1), (10000, 1, 1), (2026, 0, 1), (2026, 13, 1), (2026, 1, 0), (2026, 2, 29), (1900, 2, 29)):
        with pytest.raises(ValueError, match="is no date"):
            dates.days(*wrong)


def test_times_are_those_of_python() -> None:
    """Every module of the standard library writes and reads them so."""
    chance = random.Random("times")
    for _ in range(3000):
        seconds = chance.randint(0, 1 << 33)
        written = email.utils.formatdate(seconds, usegmt=True)
        assert dates.to_http(seconds) == written
        assert dates.of_http(written) == seconds
        assert dates.to_compact(seconds) == time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))
        assert dates.of_compact(dates.to_compact(seconds)) == seconds
        assert dates.of_iso(time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))) == seconds


@pytest.mark.parametrize(
    "written",
    [
        "Sat, 31 Jan 2026 12:34:56 +0000",
        "Saturday, 31-Jan-26 12:34:56 GMT",
        "31 Jan 2026 12:34:56 -0130",
        "sat, 31 jan 2026 12:34:56 gmt",
        "Sat, 31 Jan 0026 12:34:56 GMT",
    ],
)
def test_other_times_are_left_to_python(written: str) -> None:
    """Servers that only speak like OSS may write them so."""
    assert dates.of_http(written) == email.utils.parsedate_to_datetime(written).timestamp()


@pytest.mark.parametrize("written", ["", "soon", "Sat, 31 Jan 2026 24:00:00 GMT", "Mon, 30 Feb 2026 12:34:56 GMT"])
def test_what_is_no_time(written: str) -> None:
    """Is an error here, too."""
    with pytest.raises((ValueError, TypeError)):
        email.utils.parsedate_to_datetime(written)
    with pytest.raises((ValueError, TypeError)):
        dates.of_http(written)
