"""The target's folder: made beside its final place, published by a rename, and gone if anything goes wrong before."""

from __future__ import annotations

import contextlib
import ctypes
import enum
import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tf_blade import observe
from tf_blade.errors import InvalidSavedModelError, TargetError
from tf_blade.saved_model.model import FINGERPRINT_FILE, SAVED_MODEL_FILE

# linux/fs.h: makes one file share another's blocks, on file systems that can.
_FICLONE = 0x40049409
# fcntl.h, linux/fs.h: for renameat2.
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_log = observe.logger("saved_model")
# A file's name may have 255 bytes, which the target's may need all; a character has at most four.
_MAX_PREFIX = 48
_SUFFIX = ".tf_blade.tmp"
# What another machine, or this one before it was started again, has left: in so many seconds no run is without a write.
_ABANDONED_S = 24 * 60 * 60
# A file system that has no locks, or none on folders (NFS).
_NO_LOCKS = (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.EBADF)


def check_target(src: Path, dst: Path, *, overwrite: bool) -> None:
    """Finds out early whether the target can be written.

    Raises:
        TargetError: it exists, overlaps with the source, or its folder cannot be written.
    """
    source, target = src.resolve(), dst.resolve()
    for path in (source, target):
        try:
            str(path).encode()
        except UnicodeEncodeError as error:
            raise TargetError(f"TensorFlow opens no path that is not UTF-8: {str(path)!r}") from error
    if target == source:
        raise TargetError(f"the target {dst} is the source; choose another folder")
    if target.is_relative_to(source) or source.is_relative_to(target):
        raise TargetError(f"the target {dst} and the source {src} lie in one another; choose another folder")
    if dst.exists() or dst.is_symlink():
        _check_replaceable(dst, overwrite=overwrite)
    parent = target.parent
    if not parent.is_dir():
        what = "is no folder; choose another target" if parent.exists() else "does not exist; create it first"
        raise TargetError(f"the target's folder {parent} {what}")
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
def target_folder(src: Path, dst: Path, *, overwrite: bool) -> Iterator[Path]:
    """A folder beside `dst` that becomes `dst` when the block ends well, and disappears otherwise.

    A former `dst` stays in place until the new one is complete. What a process left here for the same target that was
    killed is removed.

    Raises:
        TargetError: a file cannot be written, or the target came into being meanwhile.
    """
    try:
        _remove_leftovers(dst)
        temporary, lock = _make_temporary(dst)
    except OSError as error:
        raise _cannot_write(dst, error) from error
    try:
        shutil.copystat(src, temporary)
        temporary.chmod(temporary.stat().st_mode | stat.S_IRWXU)
        yield temporary
        _sync(temporary)
        _publish(temporary, dst, overwrite=overwrite)
        _sync_folder(dst.resolve().parent)
    except OSError as error:
        raise _cannot_write(dst, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(lock)


def _cannot_write(dst: Path, error: OSError) -> TargetError:
    advice = ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "; make room beside it for a whole model: a former target stays until the new one is complete"
    elif error.errno == errno.EFBIG:
        advice = "; raise the limit on the size of files (ulimit -f)"
    return TargetError(f"{dst} cannot be written: {error.strerror or error}{advice}")


def _prefix(dst: Path) -> str:
    return f".{dst.name[:_MAX_PREFIX]}."


def _make_temporary(dst: Path) -> tuple[Path, int]:
    """A new folder beside the target, and a handle that keeps it locked as long as this process lives."""
    while True:
        suffix = f".{_this_boot()}{_SUFFIX}"
        folder = Path(tempfile.mkdtemp(prefix=_prefix(dst), suffix=suffix, dir=dst.resolve().parent))
        # Before it is locked, another process may take it for a leftover.
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            if _lock(handle) is not _Lock.TAKEN:
                return folder, handle
            os.close(handle)


def _this_boot() -> str:
    """Names the running kernel: processes that it serves see each other's locks, whatever the file system."""
    try:
        identity = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        return "unknown"
    return identity.strip().replace("-", "")[:12]


class _Lock(enum.Enum):
    OURS = enum.auto()
    TAKEN = enum.auto()  # by another process, or the folder is gone
    NONE = enum.auto()  # there are no locks here


def _lock(handle: int) -> _Lock:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _Lock.TAKEN
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return _Lock.NONE
        raise
    return _Lock.OURS if os.fstat(handle).st_nlink > 0 else _Lock.TAKEN


def _remove_leftovers(dst: Path) -> None:
    """Removes temporary folders for this target whose processes are gone.

    Where the running kernel serves the process that made one, its lock tells. Locks of other machines may not show on a
    network file system, and some file systems have none: such a folder is taken for a living process's for a day.
    """
    pattern = re.compile(re.escape(_prefix(dst)) + r"\w{8}(?:\.(\w+))?" + re.escape(_SUFFIX))
    here = _this_boot()
    for path in dst.resolve().parent.iterdir():
        match = pattern.fullmatch(path.name)
        if match is None or path.is_symlink() or not path.is_dir():
            continue
        told_by_lock = here != "unknown" and match.group(1) == here
        with contextlib.suppress(FileNotFoundError, PermissionError):
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                lock = _lock(handle)
                alone = lock is _Lock.OURS and told_by_lock
                if alone or (lock is not _Lock.TAKEN and _unchanged_s(path) > _ABANDONED_S):
                    _log.info("%s was left by a process that was killed; it is removed", path)
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(handle)


def _unchanged_s(folder: Path) -> float:
    """Seconds since anything below a folder was written."""
    return time.time() - max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))


def _sync(folder: Path) -> None:
    """Has everything below a folder on disk: a crash of the machine after the rename must not leave empty files."""
    for path in folder.rglob("*"):
        if path.is_dir():
            _sync_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems cannot sync a folder; the files themselves are safe.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


def _publish(temporary: Path, dst: Path, *, overwrite: bool) -> None:
    """Afterwards `temporary` is gone or holds the former target."""
    if not dst.exists():
        temporary.rename(dst)
        return
    _check_replaceable(dst, overwrite=overwrite)
    if _exchange(temporary, dst):
        return
    former = Path(tempfile.mkdtemp(prefix=_prefix(dst), suffix=".old", dir=dst.resolve().parent))
    try:
        dst.rename(former)
        try:
            temporary.rename(dst)
        except BaseException:
            former.rename(dst)
            raise
    except BaseException:
        # It is empty, or gone; or it holds the former model, which could not be put back and must stay.
        with contextlib.suppress(OSError):
            former.rmdir()
        raise
    shutil.rmtree(former, ignore_errors=True)


def _exchange(a: Path, b: Path) -> bool:
    """Swaps two folders at once, so that there is no moment without a model; False where the system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    result: int = rename(_AT_FDCWD, os.fsencode(a.absolute()), _AT_FDCWD, os.fsencode(b.absolute()), _RENAME_EXCHANGE)
    return result == 0


def copy_files(src: Path, folder: Path) -> None:
    """Copies all files of a SavedModel but those that are written anew. Files behind links are copied as files.

    Raises:
        InvalidSavedModelError: the source holds something that is neither a file nor a folder.
    """
    for path in _walk(src):
        name = path.relative_to(src)
        if path.is_dir():
            (folder / name).mkdir()
        elif str(name) not in (SAVED_MODEL_FILE, FINGERPRINT_FILE):
            _copy_file(path, folder / name)
    for path in _walk(src):
        if path.is_dir():
            copy = folder / path.relative_to(src)
            shutil.copystat(path, copy)
            # Whoever may write the folder around it must be able to remove it again.
            copy.chmod(copy.stat().st_mode | stat.S_IRWXU)


def _walk(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Everything below a folder, folders before what is in them, links followed."""
    above = (*above, folder.resolve())
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if path.resolve() in above:
                raise InvalidSavedModelError(f"{path} is a link to a folder that it is in")
            yield path
            yield from _walk(path, above)
        elif path.is_file():
            yield path
        else:
            raise InvalidSavedModelError(f"{path} is neither a file nor a folder")


def _copy_file(src: Path, dst: Path) -> None:
    if not _clone(src, dst):
        shutil.copyfile(src, dst)
    shutil.copystat(src, dst)


def _clone(src: Path, dst: Path) -> bool:
    """Shares the source's blocks if the file system can."""
    with src.open("rb") as source, dst.open("wb") as target:
        try:
            fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            return False
    return True


def relative_files(folder: Path) -> list[str]:
    """All files below a folder, by relative path, sorted; those behind links too."""
    return sorted(str(path.relative_to(folder)) for path in _walk(folder) if not path.is_dir())
