"""Unpacks one layer of an image, in the sandbox of a build: /ebb/layer/layout has the blob, /ebb/out becomes the layer.

    unpack.py DIGEST DIFF_ID

1. The bytes are those of DIGEST, and unpacked those of DIFF_ID, or nothing comes of it. 2. Nothing is written through a
link: an entry below one is refused, as is one above the root. 3. What the layer takes away from those below it becomes what
overlayfs understands: a whiteout (a character device 0:0), an opaque directory (the attribute user.overlay.opaque). No
attribute of the archive's own is taken over. 4. Everything may be read by everybody, nothing is setuid; devices, fifos and
sockets are left out. 5. Bytes and entries are bounded.
"""

import contextlib
import gzip
import hashlib
import os
import stat
import subprocess
import sys
import tarfile
import zlib

BLOBS = "/ebb/layer/layout/blobs/sha256/"
OUT = "/ebb/out"
_BLOCK = 1 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_OF_TOOLS = ".wh..wh."  # what aufs kept for itself


class Refused(Exception):
    """The reason, for the user."""


class Hashed:
    """A stream that hashes what is read from it, up to a bound."""

    def __init__(self, source, bytes_max, what):
        self._source = source
        self._left = bytes_max
        self._what = what
        self._hash = hashlib.sha256()

    def read(self, size=-1):
        data = self._source.read(_BLOCK if size is None or size < 0 else size)
        self._left -= len(data)
        if self._left < 0:
            raise Refused(self._what)
        self._hash.update(data)
        return data

    def digest(self):
        """Of all of it: reads to the end."""
        while self.read(_BLOCK):
            pass
        return "sha256:" + self._hash.hexdigest()


class Ended:
    """A stream with the two empty blocks at its end that some tools leave out of their archives."""

    def __init__(self, source):
        self._source = source
        self._rest = bytes(1024)

    def read(self, size):
        data = self._source.read(size)
        if data or not self._rest:
            return data
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


class Zstd:
    """A file as the program zstd unpacks it: Python has that from 3.14 on. It reads the file by itself."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self._process = subprocess.Popen(["zstd", "-dcq"], stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def read(self, size):
        data = self._process.stdout.read(size)
        if not data and self._process.wait() != 0:
            reason = self._process.stderr.read().decode(errors="replace").strip() or f"zstd ended with {self._process.returncode}"
            raise Refused(f"a layer of it is damaged: {reason[:300]}")
        return data

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()  # of a layer that is refused before its end
        self._process.communicate()


def shown(name):
    return repr(name)[1:-1][:200]


def parts_of(name):
    """An entry's path, from the root of the image whatever it begins with."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Refused(f"its entry '{shown(name)}' leads out of the image")
    return parts


class Layer:
    def __init__(self, root, entries_max, bytes_max):
        self._root = root
        self._entries_left = entries_max
        self._bytes_left = bytes_max
        self._bytes_max = bytes_max
        self._folders = {""}  # known to be directories of this layer's own
        self.left_out = 0
        self.entries = 0

    def _path(self, name):
        return f"{self._root}/{name}" if name else self._root

    def _mode(self, name):
        try:
            return os.lstat(self._path(name)).st_mode
        except FileNotFoundError:
            return None

    def _make_folder(self, name, entry):
        """Over what a lower entry of this layer, or its removal, left there."""
        mode = self._mode(name)
        if mode is not None and stat.S_ISCHR(mode):
            os.unlink(self._path(name))
            os.mkdir(self._path(name), 0o755)
            self._make_opaque(name)
        elif mode is None:
            os.mkdir(self._path(name), 0o755)
        elif not stat.S_ISDIR(mode):
            kind = "the link" if stat.S_ISLNK(mode) else "the file"
            raise Refused(f"its entry '{shown(entry)}' lies below {kind} '{shown(name)}'")
        self._folders.add(name)

    def _enter(self, parts, entry):
        """The directory that holds an entry; made where there is none."""
        name = ""
        for part in parts:
            name = f"{name}/{part}" if name else part
            if name not in self._folders:
                self._make_folder(name, entry)
        return name

    def _make_opaque(self, name):
        try:
            os.setxattr(self._path(name), "user.overlay.opaque", b"y")
        except OSError as error:
            raise Refused(f"the file system of the data directory has no extended attributes, which images need: {error}") from None

    def _clear(self, name, entry):
        """A later entry of the same name stands; a directory is not replaced by something else."""
        mode = self._mode(name)
        if mode is None:
            return
        if stat.S_ISDIR(mode):
            raise Refused(f"its entry '{shown(entry)}' is in the layer as a directory too")
        os.unlink(self._path(name))

    def take(self, member, archive):
        self._entries_left -= 1
        if self._entries_left < 0:
            raise Refused(f"a layer of it has more than {self.entries} files and directories")
        self.entries += 1
        parts = parts_of(member.name)
        if not parts:
            return
        base = parts[-1]
        if base.startswith(_WHITEOUT):
            self._take_away(parts, member.name)
            return
        if member.isdir():
            self._enter(parts, member.name)
            return
        if not (member.isfile() or member.issym() or member.islnk()):
            self.left_out += 1
            return
        folder = self._enter(parts[:-1], member.name)
        name = f"{folder}/{base}" if folder else base
        target = self._link_target(member) if member.islnk() else None
        if target == name:
            return
        self._clear(name, member.name)
        if member.issym():
            os.symlink(member.linkname, self._path(name))
        elif target is not None:
            os.link(self._path(target), self._path(name), follow_symlinks=False)
        else:
            self._write(name, member, archive)

    def _link_target(self, member):
        """Of a hard link: a file of this layer, reached through no link."""
        parts = parts_of(member.linkname)
        for depth in range(1, len(parts)):
            mode = self._mode("/".join(parts[:depth]))
            if mode is None or not stat.S_ISDIR(mode):
                break
        else:
            mode = self._mode("/".join(parts)) if parts else None
            if mode is not None and (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
                return "/".join(parts)
        raise Refused(f"its entry '{shown(member.name)}' is a hard link to '{shown(member.linkname)}', "
                      "which is no file earlier in its layer")

    def _take_away(self, parts, entry):
        folder = self._enter(parts[:-1], entry)
        base = parts[-1]
        if base == _OPAQUE:
            self._make_opaque(folder)
            return
        if base.startswith(_OF_TOOLS):
            return
        hidden = base[len(_WHITEOUT):]
        if hidden in ("", ".", ".."):
            raise Refused(f"its entry '{shown(entry)}' removes nothing that has a name")
        name = f"{folder}/{hidden}" if folder else hidden
        mode = self._mode(name)
        if mode is None:
            os.mknod(self._path(name), stat.S_IFCHR, os.makedev(0, 0))
        elif stat.S_ISDIR(mode):
            self._make_opaque(name)  # what is below goes, what this layer has stays

    def _write(self, name, member, archive):
        self._bytes_left -= member.size  # sparse files count as what they would be
        if self._bytes_left < 0:
            raise Refused(f"a layer of it unpacks to more than {self._bytes_max >> 30} GiB")
        mode = 0o755 if member.mode & 0o111 else 0o644
        source = archive.extractfile(member)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(self._path(name), flags, mode), "wb", buffering=0) as file:
            left = member.size
            while left > 0:
                data = source.read(min(left, _BLOCK))
                if not data:
                    raise Refused("a layer of it ends in the middle of a file")
                file.write(data)
                left -= len(data)


def unpack(digest, diff_id, entries_max, bytes_max, blobs=BLOBS, root=OUT):
    too_large = f"a layer of it unpacks to more than {bytes_max >> 30} GiB"
    path = blobs + digest.removeprefix("sha256:")
    with open(path, "rb") as file, contextlib.ExitStack() as ending:
        packed = Hashed(file, bytes_max, too_large)
        magic = file.read(4)
        file.seek(0)
        source = packed
        if magic[:2] == _GZIP:
            source = gzip.GzipFile(fileobj=packed)
        elif magic == _ZSTD:
            source = ending.enter_context(Zstd(path))
        # Twice the bound: the archive's own headers, one for every file, count as well.
        plain = Hashed(source, 2 * bytes_max, too_large)
        layer = Layer(root, entries_max, bytes_max)
        with tarfile.open(fileobj=Ended(plain), mode="r|", bufsize=_BLOCK // 4, errorlevel=2) as archive:
            for member in archive:
                layer.take(member, archive)
                archive.members = []  # or a million entries would stay in memory
        found, packed_digest = plain.digest(), packed.digest()
    if packed_digest != digest:
        raise Refused(f"a layer of it is damaged: its bytes are {packed_digest}, its manifest says {digest}")
    if found != diff_id:
        raise Refused(f"a layer of it is not the one it says: it unpacks to {found}, its configuration says {diff_id}")
    return layer


def main():
    layer = unpack(sys.argv[1], sys.argv[2], int(os.environ["EBB_IMAGE_ENTRIES"]), int(os.environ["EBB_IMAGE_BYTES"]))
    if layer.left_out:
        print(f"left out: {layer.left_out} devices, pipes or sockets", flush=True)


if __name__ == "__main__":
    try:
        main()
    except Refused as _refused:
        print(f"error: {_refused}", flush=True)
        sys.exit(1)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as _error:
        print(f"error: a layer of it is damaged: {_error}", flush=True)
        sys.exit(1)
    except OSError as _error:
        print(f"error: a layer of it cannot be unpacked: {_error}", flush=True)
        sys.exit(1)
    except Exception as _error:
        print(f"error: a layer of it cannot be read: {type(_error).__name__}: {_error}", flush=True)
        sys.exit(1)
