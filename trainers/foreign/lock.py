"""What a process gives up for good before it reads or runs what strangers made.

    give_up(READER, reads=["/"], writes=[folder], limits={resource.RLIMIT_CPU: 60})

Landlock and seccomp are Linux's, and a kernel or container may lack either: the limits remain then, `holds` tells.
What is there and fails is raised, so that nothing runs unlocked that could have been locked.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

LANDLOCK, SECCOMP = "Landlock", "seccomp"
READER = (
    "socket", "connect", "execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "io_uring_setup",
    "bpf", "keyctl", "add_key", "request_key", "mount", "umount2", "unshare", "setns", "perf_event_open",
    "userfaultfd", "kexec_load", "init_module", "finit_module", "open_by_handle_at", "pidfd_getfd", "pidfd_open",
    "pidfd_send_signal", "kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo",
)  # fmt: skip
"""System calls that no reader needs: ways out of this process, and doors into the kernel with a history of faults."""
PROGRAM = (*READER, "bind", "fork", "vfork", "clone", "clone3", "prlimit64", "setrlimit")
"""What a program that only computes needs neither: other processes, and limits to take back."""
TYPED_FOR_THE_USER = (0x5412, 0x541C)
"""Requests to a terminal (TIOCSTI, TIOCLINUX) that put words into the mouth of whoever sits at it."""


def give_up(
    calls: Iterable[str],
    *,
    reads: Iterable[str | Path],
    writes: Iterable[Path] = (),
    limits: Mapping[int, int],
) -> None:
    """In this process and all its threads: these system calls fail, no port and no other process is reached.

    Files are read from `reads` alone, written to the folders `writes` alone, and none is run. `limits` are those of
    `resource`, where lower ones do not hold already. Raises OSError where a lock of this kernel cannot be set.
    """
    held = holds()  # finds both libraries while programs can still be started and files be written for that
    if any(one.startswith(LANDLOCK) for one in held):
        _forbid_files(reads, writes)
    for what, limit in limits.items():
        _lower(what, limit)
    if SECCOMP in held:
        _forbid_calls(calls)


def holds() -> tuple[str, ...]:
    """What of the two this machine has."""
    held = []
    with contextlib.suppress(ImportError):
        from landlockpy import abi_version

        held += [f"{LANDLOCK} {version}"] if (version := abi_version()) else []
    with contextlib.suppress(ImportError, RuntimeError):  # RuntimeError: its C library is not installed
        import pyseccomp

        held += [SECCOMP] if pyseccomp.get_api() else []
    return tuple(held)


def _forbid_files(reads: Iterable[str | Path], writes: Iterable[Path]) -> None:
    from landlockpy import AccessFS, RestrictFlag, Ruleset, Scope

    with Ruleset(scoped=Scope.SIGNAL | Scope.ABSTRACT_UNIX_SOCKET) as rules:
        for place in reads:
            rules.allow_path(place, AccessFS.READ_FILE | AccessFS.READ_DIR)
        rules.allow_path(os.devnull, AccessFS.WRITE_FILE)
        for folder in writes:
            rules.allow_path(
                folder, rules.handled_fs & ~(AccessFS.EXECUTE | AccessFS.MAKE_CHAR | AccessFS.MAKE_BLOCK)
            )
        rules.restrict(RestrictFlag.TSYNC)


def _forbid_calls(names: Iterable[str]) -> None:
    """They fail as if they were not permitted, and signals reach this process alone."""
    from pyseccomp import ALLOW, ERRNO, MASKED_EQ, NE, Arg, Attr, SyscallFilter

    calls = SyscallFilter(ALLOW)
    calls.set_attr(Attr.CTL_TSYNC, 1)
    narrowed = [("ioctl", Arg(1, MASKED_EQ, 0xFFFFFFFF, request)) for request in TYPED_FOR_THE_USER]
    for name, *where in (*((name,) for name in names), *narrowed, ("tgkill", Arg(0, NE, os.getpid()))):
        with contextlib.suppress(OSError, ValueError):  # a call that this processor or kernel does not know
            calls.add_rule(ERRNO(errno.EPERM), name, *where)
    with contextlib.suppress(OSError):  # a container may forbid to forbid
        calls.load()


def _lower(what: int, limit: int) -> None:
    import resource

    soft, hard = resource.getrlimit(what)
    stated = [one for one in (soft, hard, limit) if one != resource.RLIM_INFINITY]
    # at the soft limit of work comes a signal that names it, at the hard one the end
    most = min(stated) + (1 if what == resource.RLIMIT_CPU else 0)
    resource.setrlimit(what, (min(stated), most if hard == resource.RLIM_INFINITY else min(most, hard)))
