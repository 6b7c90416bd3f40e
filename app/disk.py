"""What the shop's files lie on and how they fare: kind of file system, size, newest backup. Reads only."""

import re
from pathlib import Path

from .backup import copies

MOUNTS = Path("/proc/self/mountinfo")
# Other machines may have these open too, and SQLite's write-ahead log is memory that its users share.
_NETWORK = {
    *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncpfs", "9p", "afs", "ceph", "coda", "davfs", "gpfs", "lustre"),
    *("beegfs", "gfs", "gfs2", "ocfs2", "glusterfs", "orangefs", "pvfs2", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph"),
    *("fuse.rclone", "fuse.s3fs", "fuse.gcsfuse", "fuse.davfs2", "fuse.juicefs", "fuse.cephfs", "fuse.smbnetfs"),
}
# A machine's folder seen from a virtual machine or container in it. Some share memory as SQLite needs it, some do not.
_LENT = {"virtiofs", "vboxsf", "vmhgfs", "prl_fs", "fakeowner", "osxfs"}


def filesystem(path: Path, mountinfo: str | None = None) -> str:
    """The kind of file system that a path is on or would be on ("ext4", "nfs4"); "" where that cannot be told.

    mountinfo: a text as in /proc/self/mountinfo, which is read when none is given.
    """
    if mountinfo is None:
        try:
            mountinfo = MOUNTS.read_text()
        except OSError:
            return ""
    found, kind = -1, ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        place = Path(_plain(before.split()[4]))
        # Of two at the same place the later one hides the earlier.
        if path.resolve().is_relative_to(place) and len(place.parts) >= found:
            found, kind = len(place.parts), after.split()[0]
    return kind


def _plain(text: str) -> str:
    r"""A path as it is: the kernel writes a space in it as \040."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def is_network(kind: str) -> bool:
    """Whether other machines may have the same files open."""
    return kind in _NETWORK


def is_doubtful(kind: str) -> bool:
    """Whether it may be such a kind, or one that shares no memory."""
    return kind in _LENT or (kind.startswith("fuse.") and not is_network(kind))


def size(file: Path) -> int:
    """The bytes of an SQLite database with its write-ahead log; 0 when there is none."""
    return sum(part.stat().st_size for part in (file, file.with_name(f"{file.name}-wal")) if part.exists())


def newest_backup(folder: Path) -> float | None:
    """When the newest backup in a folder was made, in seconds since 1970; None when there is none.

    What an upgrade or a restore kept of the shop before it is no backup to rely on.
    """
    kinds = ("nightly", "readylight")
    return max((path.stat().st_mtime for kind in kinds for _, path in copies.made(folder, kind)), default=None)
