"""The exec wrapper of child processes: ``python -I -S launch.py '<json>'``. The program replaces it by ``exec``.

It uses the standard library only and runs in about 15 ms. Before ``exec`` it

1. locks the lock file (flock(2)), writes its pid into it and leaves it open for the program. The lock is held as long
   as the program or one of its own children runs, so a later airnode knows whether one of them still runs. A pid
   alone does not prove that;
2. opens the working directory, and changes to the unprivileged user if one is given. ``{cwd}`` in the arguments is then
   replaced by ``/proc/self/fd/N``: the program reaches its own directory although this user has no right to search the
   directories above it (mode 700);
3. requests that the kernel signals the program when airnode dies (Linux), and exits if airnode has already died;
4. sets the resource limits, which the program and its own children inherit (setrlimit(2)).
"""

import ctypes
import fcntl
import json
import os
import resource
import signal
import sys

EXIT_LOCKED = 75
EXIT_ORPHANED = 76
EXIT_CANNOT_EXEC = 126

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000


def _take_lock(path: str) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(EXIT_LOCKED)
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    os.set_inheritable(fd, True)


def _become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def _appear_as(alias: int) -> None:
    """Take another user id inside a new user namespace. If the system forbids that, keep the real one."""
    uid, gid = os.geteuid(), os.getegid()
    if sys.platform != "linux" or ctypes.CDLL(None).unshare(_CLONE_NEWUSER) != 0:
        return
    for name, text in (("setgroups", "deny"), ("gid_map", f"{gid} {gid} 1"), ("uid_map", f"{alias} {uid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _die_with_parent(parent: int, signum: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(EXIT_ORPHANED)


def _limit(limits: dict[str, int]) -> None:
    if "RLIMIT_FSIZE" in limits:  # Python ignores this signal, and exec keeps it ignored
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    for name, soft in limits.items():
        kind = getattr(resource, name)
        most = resource.getrlimit(kind)[1]
        # SIGXCPU comes at the soft limit; a second later the kernel kills a process that ignores it.
        hard = soft + 1 if name == "RLIMIT_CPU" else soft
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)
        resource.setrlimit(kind, (soft, hard))


def main() -> None:
    """Read the specification (see :class:`airnode.processes.child.LaunchSpec`) and execute the program."""
    spec = json.loads(sys.argv[1])
    os.umask(0o077)
    _take_lock(spec["lock"])
    cwd = spec["cwd"]
    directory = os.open(cwd, os.O_RDONLY | os.O_DIRECTORY)
    os.fchdir(directory)
    if spec["uid"] is not None:
        os.set_inheritable(directory, True)
        cwd = f"/proc/self/fd/{directory}"
        _become(spec["uid"], spec["gid"])
    if spec["alias_uid"] is not None:
        _appear_as(spec["alias_uid"])
    _die_with_parent(spec["parent"], spec["death_signal"])
    _limit(spec["limits"])
    argv = [argument.replace("{cwd}", cwd) for argument in spec["argv"]]
    os.execve(argv[0], argv, spec["env"])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.stderr.write(f"cannot start {sys.argv[1]}: {error}\n")
        sys.exit(EXIT_CANNOT_EXEC)
