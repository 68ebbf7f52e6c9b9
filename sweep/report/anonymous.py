"""A sweep without what tells whose it is: hosts, folders and files outside the images, users, and texts of errors.

For double-blind review. Everything that the report shows is made from what this returns, so nothing is left out in one
place and shown in another. The same host, or path, has the same name everywhere: host-1, path-2. Names of images and
classes stay, for they are the data, and so do devices, versions and times.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import tomli_w

from animefer_core.data.catalog import BadImage, CatalogImage
from animefer_core.record import TrialRecord
from sweep.frames import SetAside, Sweep
from sweep.settings import AUTO, DEMO, LOCAL

NAME = "A sweep"
"""In place of the folder's own name."""
PLACES = ("data", "out", "config", "weights_dir", "storage", "address")
"""Settings whose values are places."""
KEPT = (DEMO, LOCAL, AUTO)
"""Values of them that name no place."""
OF_CALLS = ("at", "command", "file_sha256", "host", "settings", "trials")
"""What a call keeps."""
OUTSIDE = re.compile(r"\S*[/\\@]\S*")
"""A word that may be a path, an address or a user's name at a host."""
SEPARATOR = re.compile(r"[/\\]")
KIND = re.compile(r"[A-Za-z_][\w.]*")
"""The type of an error: a name of Python's."""
UNREADABLE = "cannot be read"
BROKEN = "# Left out: the file is no whole TOML file.\n"


def anonymous(sweep: Sweep, settings: str | None) -> tuple[Sweep, str | None]:
    """Return the sweep, and its settings as TOML where there are any, without what tells whose it is."""
    names = _Names()
    return names.sweep(sweep), None if settings is None else names.toml(settings)


class _Names:
    """Stands in for hosts and places, each under one name."""

    def __init__(self) -> None:
        self._hosts: dict[str, str] = {}
        self._places: dict[str, str] = {}

    def sweep(self, sweep: Sweep) -> Sweep:
        file = sweep.split_file
        skipped = tuple(BadImage(path=bad.path, reason=UNREADABLE) for bad in file.skipped)
        images = _told_apart(file.images) if sweep.imported else file.images
        return replace(
            sweep,
            name=NAME,
            split_file=replace(file, images=images, skipped=skipped),
            calls=tuple(self._call(call) for call in sweep.calls),
            records=self._records(sweep.records),
            others=tuple(self.sweep(each) for each in sweep.others),
            set_aside=tuple(_without_error(aside) for aside in sweep.set_aside),
            replaced=self._records(sweep.replaced),
        )

    def toml(self, text: str) -> str:
        try:
            return tomli_w.dumps(self._settings(tomllib.loads(text)))
        except tomllib.TOMLDecodeError:
            return BROKEN

    def _records(self, records: Iterable[TrialRecord]) -> tuple[TrialRecord, ...]:
        return tuple(
            replace(
                record,
                environment={name: self._used(name, value) for name, value in record.environment.items()},
                # A message may hold anything, a traceback does.
                error=_kind_alone(record.error),
            )
            for record in records
        )

    def _used(self, name: str, value: Any) -> Any:
        return self._host(value) if name == "host" else value

    def _call(self, call: Mapping[str, Any]) -> dict[str, Any]:
        kept = {name: call[name] for name in OF_CALLS if name in call}
        kept["command"] = self._command([str(word) for word in call.get("command", ())])
        kept["settings"] = self._settings(call.get("settings", {}))
        return kept | ({"host": self._host(call["host"])} if call.get("host") else {})

    def _command(self, words: Sequence[str]) -> list[str]:
        """Return a command line with places in their names' stead: values of some options, files, and what looks so."""
        said = ["animefer"]
        for before, word in pairwise(words):
            option, equals, value = word.partition("=")
            if word.startswith("-") and equals:
                said.append(f"{option}={self._value(option, value)}")
            elif word.startswith("-") or (len(said) == 1 and word.isalpha()):
                said.append(word)
            else:
                said.append(self._value(before, word) if before.startswith("-") else self._place(word))
        return said

    def _settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._setting(name, value) for name, value in settings.items()}

    def _setting(self, name: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return self._settings(value)
        if isinstance(value, list):
            return [self._setting(name, part) for part in value]
        return self._value(name, value) if isinstance(value, str) else value

    def _value(self, name: str, value: str) -> str:
        place = name.lstrip("-").replace("-", "_") in PLACES
        return self._place(value) if place or OUTSIDE.fullmatch(value) else value

    def _host(self, name: str) -> str:
        return self._hosts.setdefault(name, f"host-{len(self._hosts) + 1}")

    def _place(self, text: str) -> str:
        return text if text in KEPT else self._places.setdefault(text, f"path-{len(self._places) + 1}")


def _told_apart(images: Sequence[CatalogImage]) -> tuple[CatalogImage, ...]:
    """Return images that an import knows by any path under as few of its last parts as tell all of them apart."""
    parts = [SEPARATOR.split(image.path) for image in images]
    longest = max(map(len, parts), default=1)
    names = [image.path for image in images]
    for kept in range(1, longest + 1):
        names = ["/".join(each[-kept:]) for each in parts]
        if len(set(names)) == len(images):
            break
    return tuple(replace(image, path=name) for image, name in zip(images, names, strict=True))


def _kind_alone(error: Mapping[str, Any]) -> dict[str, str]:
    if not error:
        return {}
    kind = str(error.get("type", ""))
    return {"type": kind if KIND.fullmatch(kind) else "unknown error"}


def _without_error(aside: SetAside) -> SetAside:
    return replace(aside, reason=UNREADABLE) if aside.reason.startswith(UNREADABLE) else aside
