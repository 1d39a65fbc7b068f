"""The target's folder: made beside its final place, published by a rename, and gone if anything goes wrong before."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tf_blade.errors import TargetError
from tf_blade.saved_model.model import FINGERPRINT_FILE, SAVED_MODEL_FILE

# linux/fs.h: makes one file share another's blocks, on file systems that can.
_FICLONE = 0x40049409


def check_target(src: Path, dst: Path, *, overwrite: bool) -> None:
    """Finds out early whether the target can be written.

    Raises:
        TargetError: it exists, overlaps with the source, or its folder cannot be written.
    """
    source, target = src.resolve(), dst.resolve()
    if target == source:
        raise TargetError(f"the target {dst} is the source; choose another folder")
    if target.is_relative_to(source) or source.is_relative_to(target):
        raise TargetError(f"the target {dst} and the source {src} lie in one another; choose another folder")
    if dst.exists() or dst.is_symlink():
        _check_replaceable(dst, overwrite=overwrite)
    parent = target.parent
    if not parent.is_dir():
        raise TargetError(f"the target's folder {parent} does not exist; create it first")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise TargetError(f"the target's folder {parent} cannot be written")


def _check_replaceable(dst: Path, *, overwrite: bool) -> None:
    if not overwrite:
        raise TargetError(f"the target {dst} exists; choose another one, or pass overwrite=True (--overwrite)")
    if dst.is_symlink() or not dst.is_dir():
        raise TargetError(f"the target {dst} is no folder, so it is not overwritten; remove it yourself")
    if any(dst.iterdir()) and not (dst / SAVED_MODEL_FILE).exists():
        raise TargetError(f"the target {dst} holds something else than a SavedModel, so it is not overwritten")


@contextlib.contextmanager
def target_folder(src: Path, dst: Path) -> Iterator[Path]:
    """A folder beside `dst` that becomes `dst` when the block ends well, and disappears otherwise.

    A former `dst` stays in place until the new one is complete.

    Raises:
        TargetError: a file cannot be written.
    """
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{dst.name}.", suffix=".tmp", dir=dst.resolve().parent))
    except OSError as error:
        raise TargetError(f"{dst} cannot be written: {error.strerror}") from error
    try:
        shutil.copystat(src, temporary)
        temporary.chmod(temporary.stat().st_mode | 0o700)
        yield temporary
        _publish(temporary, dst)
    except OSError as error:
        raise TargetError(f"{dst} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _publish(temporary: Path, dst: Path) -> None:
    if not dst.exists():
        temporary.rename(dst)
        return
    former = Path(tempfile.mkdtemp(prefix=f".{dst.name}.", suffix=".old", dir=dst.resolve().parent))
    try:
        dst.rename(former)
        try:
            temporary.rename(dst)
        except BaseException:
            former.rename(dst)
            raise
    finally:
        if dst.exists():
            shutil.rmtree(former, ignore_errors=True)


def copy_files(src: Path, folder: Path) -> None:
    """Copies all files of a SavedModel but those that are written anew. Files behind links are copied as files."""
    for path in sorted(src.iterdir()):
        if path.name in (SAVED_MODEL_FILE, FINGERPRINT_FILE):
            continue
        if path.is_dir():
            shutil.copytree(path, folder / path.name, copy_function=_copy_file)
        else:
            _copy_file(str(path), str(folder / path.name))


def _copy_file(src: str, dst: str) -> str:
    if not _clone(src, dst):
        shutil.copyfile(src, dst)
    shutil.copystat(src, dst)
    return dst


def _clone(src: str, dst: str) -> bool:
    """Shares the source's blocks if the file system can."""
    with open(src, "rb") as source, open(dst, "wb") as target:
        try:
            fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            return False
    return True


def relative_files(folder: Path) -> list[str]:
    """All files below a folder, by relative path, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
