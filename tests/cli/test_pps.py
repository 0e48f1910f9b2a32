"""``modelport pps``: the platform's variables, and TLS as they ask for it."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from modelport.cli.pps import tls, variables
from modelport.errors import ConfigError
from tests.cli.conftest import modelport
from tests.harness import Running, launch, serving, until
from tests.platforms.pps import packs

P = "PREDICTION_API_"


# --- variables -------------------------------------------------------------------------------------------


def test_the_platform_s_defaults(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = variables.read({}, str(tmp_path / "empty"))
    assert (found.workers, found.cache_size, found.ttl, found.preload, found.tls) == (1, 4, 60, None, None)
    assert str(found.repository) == "/opt/ml/model"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [*((t, True) for t in ("true", "YES", "y", "1")), *((t, False) for t in ("False", "no", "N", "0"))],
)
def test_truth_values(text: str, wanted: bool) -> None:
    assert variables.read({f"{P}PRELOAD_MODELS_ENABLED": text}).preload is wanted


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PREDICTION_API_WORKERS", "0"),
        ("PREDICTION_API_WORKERS", "two"),
        ("PREDICTION_API_WORKERS", "-1"),
        ("PREDICTION_API_WORKERS", "1001"),
        ("PREDICTION_API_PRELOAD_MODELS_ENABLED", "on"),
        ("PREDICTION_API_SCORING_MODEL_CACHE_MAXSIZE", "0"),
        ("PREDICTION_API_DEPLOYED_MODEL_RESOLVER_CACHE_TTL_SEC", "1.5"),
        ("PREDICTION_API_TLS_ENABLED", "maybe"),
        ("PREDICTION_API_MONITORING_ENABLED", "true"),
        ("PREDICTION_API_MONITORING_SETTINGS", "spooler_type"),
        ("PORTABLE_PREDICTION_API_MONITORING_SETTINGS", "=x"),
        ("MLOPS_ASSOCIATION_ID_ALLOW_MISSING_VALUES", "some"),
    ],
)
def test_values_that_make_no_sense_are_named(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        variables.read({name: text})
    assert len(caught.value.faults) == 1
    assert caught.value.faults[0].startswith(name.removeprefix("PORTABLE_"))


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        variables.read({f"{P}WORKERS": "x", f"{P}TLS_ENABLED": "1"})
    assert len(caught.value.faults) == 3


def test_without_tls_its_variables_are_ignored() -> None:
    assert variables.read({f"{P}TLS_ENABLED": "no", f"{P}TLS_PROTOCOLS": "odd", f"{P}TLS_CERTIFICATE": "x"}).tls is None


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(
        f"# a comment\n\n{P}WORKERS=3\n {P}MODEL_REPOSITORY_PATH = '/a=b'\n{P}SCORING_MODEL_CACHE_MAXSIZE=\"9\"\n"
    )
    found = variables.read({f"{P}WORKERS": "2"}, str(file))
    assert (found.workers, found.cache_size, str(found.repository)) == (2, 9, "/a=b")


def test_a_folder_of_files_is_read_by_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(f"{P}WORKERS=2\n{P}SCORING_MODEL_CACHE_MAXSIZE=5\n")
    (tmp_path / "b").write_text(f"{P}WORKERS=3\n")
    found = variables.read({}, str(tmp_path))
    assert (found.workers, found.cache_size) == (3, 5)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no"):
        variables.read({}, str(tmp_path / "none"))
    (tmp_path / "config").write_text("\nno line\n")
    with pytest.raises(ConfigError, match="line 2 is no KEY=value"):
        variables.read({}, str(tmp_path / "config"))
    (tmp_path / "config").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        variables.read({}, str(tmp_path / "config"))


def test_the_command_tells_of_faults(tmp_path: Path) -> None:
    done = modelport("pps", tmp_path / "none")
    assert (done.returncode, "there is nothing at" in done.stderr) == (2, True)
    (tmp_path / "config").write_text(f"{P}MONITORING_ENABLED=true\n")
    done = modelport("pps", tmp_path, "--variables", tmp_path / "config")
    assert (done.returncode, "cannot be offloaded yet" in done.stderr) == (2, True)


# --- TLS -------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    certificate: str
    key: str
    locked: str
    """The key with the passphrase "open sesame"."""


def make_pair(folder: Path, name: str) -> Pair:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    more = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = [folder / f"{name}.pem", folder / f"{name}.key", folder / f"{name}.locked"]
    subprocess.run([*command, *more, "-keyout", files[1], "-out", files[0]], check=True, capture_output=True)
    lock = ["openssl", "rsa", "-aes256", "-passout", "pass:open sesame", "-in", files[1], "-out", files[2]]
    subprocess.run(lock, check=True, capture_output=True)
    return Pair(*(file.read_text() for file in files))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("pair"), "first")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packs.write_transcript_model("fraud", tmp_path_factory.mktemp("package") / "fraud.mlpkg")


def given(pair: Pair, **more: str) -> dict[str, str]:
    named = {f"{P}TLS_{name}": value for name, value in more.items()}
    return {
        f"{P}TLS_ENABLED": "true",
        f"{P}TLS_CERTIFICATE": pair.certificate,
        f"{P}TLS_CERTIFICATE_KEY": pair.key,
        **named,
    }


def s_client(port: int, *options: str) -> str:
    """What ``openssl s_client`` says of the server."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *options]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=30, check=False)
    return done.stdout + done.stderr


def test_nothing_is_served_without_tls_beside_it(package: Path, pair: Pair, tmp_path: Path) -> None:
    env = {"MODELPORT_CACHE_DIR": str(tmp_path), **given(pair)}
    server = launch(package, "--port", "0", "--grpc-port", "0", verb=("pps",), env=env)
    try:
        assert server.process.wait(30) == 2
        until(lambda: any("gRPC would be served without TLS" in line for line in list(server.raw_logs)))
    finally:
        server.kill()


def test_tls_with_the_usual_protocols(package: Path, pair: Pair, tmp_path: Path) -> None:
    env = {"MODELPORT_CACHE_DIR": str(tmp_path), **given(pair)}
    with serving_tls(package, env) as server:
        assert "CN=first" in s_client(server.port, "-tls1_3").replace(" = ", "=")
        assert "Protocol  : TLSv1.2" in s_client(server.port, "-tls1_2")
        for old in ("-tls1_1", "-tls1"):
            assert "Cipher is (NONE)" in s_client(server.port, old, "-cipher", "ALL:@SECLEVEL=0")
        for weak in ("AES128-SHA", "AES256-GCM-SHA384"):  # without forward secrecy
            assert "Cipher is (NONE)" in s_client(server.port, "-tls1_2", "-cipher", weak)
        with socket.create_connection(("127.0.0.1", server.port), 10) as plain:
            plain.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" not in plain.recv(1000)
        assert fetched(server.port, pair.certificate, "POST", "/predictions", b"amount,country\n50,US\n").endswith(
            b'"predictionThreshold":0.5}]}'
        )


def serving_tls(package: Path, env: dict[str, str], *arguments: str) -> Any:
    return serving(package, "--port", "0", *arguments, verb=("pps",), env=env)


def fetched(port: int, certificate: str, method: str, path: str, body: bytes = b"") -> bytes:
    """The whole answer, from a server whose certificate is verified."""
    trusting = ssl.create_default_context(cadata=certificate)
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        trusting.wrap_socket(plain, server_hostname="localhost") as link,
    ):
        head = f"{method} {path} HTTP/1.0\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: {len(body)}\r\n\r\n"
        link.sendall(head.encode() + body)
        pieces = []
        while piece := link.recv(1 << 16):
            pieces.append(piece)
        return b"".join(pieces)


def test_one_protocol_a_cipher_and_a_locked_key(package: Path, pair: Pair, tmp_path: Path) -> None:
    more = {"PROTOCOLS": "TLSv1.2", "CIPHERS": "ECDHE-RSA-AES256-GCM-SHA384", "CERTIFICATE_KEY": pair.locked}
    env = {"MODELPORT_CACHE_DIR": str(tmp_path), **given(pair, CERTIFICATE_KEY_PASSWORD="open sesame", **more)}
    with serving_tls(package, env) as server:
        assert "Cipher    : ECDHE-RSA-AES256-GCM-SHA384" in s_client(server.port, "-tls1_2")
        assert "Cipher is (NONE)" in s_client(server.port, "-tls1_3")
        assert "Cipher is (NONE)" in s_client(server.port, "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256")


def test_a_renewed_certificate_is_used_after_a_hangup_signal(package: Path, pair: Pair, tmp_path: Path) -> None:
    def write(one: Pair) -> None:
        lines = {name: value.strip().replace("\n", "\\n") for name, value in given(one).items()}
        (tmp_path / "config").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))

    write(pair)
    second = make_pair(tmp_path, "second")
    env = {"MODELPORT_CACHE_DIR": str(tmp_path / "cache")}
    with serving_tls(package, env, "--variables", str(tmp_path / "config")) as server:
        assert "first" in s_client(server.port)
        write(second)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "second" in s_client(server.port), what="the new certificate")
        (tmp_path / "config").write_text(f"{P}TLS_ENABLED=1\n")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: any("stays as it is" in line["message"] for line in server.logs), what="the refusal")
        assert "second" in s_client(server.port)


def test_tls_is_on_a_port_of_its_own(package: Path, pair: Pair, tmp_path: Path) -> None:
    """8443 in place of 8080, which may be anybody's here: so the taken port is what is looked at."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        env = {"MODELPORT_CACHE_DIR": str(tmp_path), "MODELPORT_PORT": str(taken.getsockname()[1])}
        done = ended(launch(package, verb=("pps",), env={**env, **given(pair)}))
        assert str(taken.getsockname()[1]) in done
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", 8443))
            listener.listen()
        except OSError:
            pass  # somebody else has it: as good
        env = {"MODELPORT_CACHE_DIR": str(tmp_path), **given(pair)}
        assert "port 8443" in ended(launch(package, verb=("pps",), env=env))


def ended(server: Running) -> str:
    """What a server said that could not start."""
    try:
        assert server.process.wait(30) == 2
    finally:
        server.kill()
    return "\n".join(server.raw_logs)


def refusal(given: dict[str, str]) -> str:
    try:
        read = variables.read(given).tls
        assert read is not None
        tls.context(read)
    except ConfigError as fault:
        return fault.describe()
    raise AssertionError("it was taken")


def test_tls_that_cannot_be_is_refused(pair: Pair) -> None:
    other = pair.key.replace("\n", "x\n", 3)
    assert "CERTIFICATE_KEY is not" in refusal(given(pair, CERTIFICATE_KEY=""))
    assert "TLS_CERTIFICATE is not" in refusal(given(pair, CERTIFICATE=""))
    assert "cannot be used" in refusal(given(pair, CERTIFICATE_KEY=other))
    assert "cannot be used" in refusal(given(pair, CERTIFICATE="text"))
    assert "cannot be used" in refusal(given(pair, CERTIFICATE_KEY=pair.locked))
    assert "cannot be used" in refusal(given(pair, CERTIFICATE_KEY=pair.locked, CERTIFICATE_KEY_PASSWORD="wrong"))
    assert "TLSv9" in refusal(given(pair, PROTOCOLS="TLSv1.2 TLSv9"))
    assert "no protocol" in refusal(given(pair, PROTOCOLS="SSLv2 SSLv3"))
    assert "CIPHERS" in refusal(given(pair, CIPHERS="NOTHING"))


@pytest.mark.parametrize("names", ["TLSv1 TLSv1.1", "SSLv3 TLSv1.1 TLSv1.3", "tlsv1.2"])
def test_protocols_that_are_left_out_are_off(pair: Pair, names: str) -> None:
    read = variables.read(given(pair, PROTOCOLS=names)).tls
    assert read is not None
    made = tls.context(read)
    for name, (_, left_out) in tls.VERSIONS.items():
        assert bool(made.options & left_out) != (name.lower() in names.lower().split())


def test_the_key_leaves_no_file(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    read = variables.read(given(pair)).tls
    assert read is not None
    tls.context(read)
    assert list(tmp_path.iterdir()) == []
