"""``modelport score``"""

from __future__ import annotations

import csv
import fcntl
import gzip
import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import textwrap
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas
import psutil
import pytest

from modelport.cli.csvcut import Chunk
from modelport.cli.datafile import filled
from modelport.cli.score import read_query
from modelport.cli.scoring import Answers
from modelport.core.call import Reply
from modelport.errors import ConfigError, InvalidOutput
from tests.cli.conftest import modelport
from tests.harness import function, until, write_service

SUM = "return pd.DataFrame({'Predictions': data['a'] + data['b']})"
ROW = 'a,b,note\n1,2,x\n3,4,"y,\nz"\n5,6,\n'
CHUNK = 8 << 20


def code(tmp_path: Path, body: str = SUM, hook: str = "score(data, model, **kwargs)", more: str = "") -> Path:
    """A code folder whose ``score`` hook, or another, has this body."""
    folder = tmp_path / "model"
    folder.mkdir()
    source = f"import io, os\nimport pandas as pd\n\n\ndef {hook}:\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
    (folder / "custom.py").write_text(source + textwrap.dedent(more))
    return folder


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def large(path: Path, size: int = 2 * CHUNK + CHUNK // 2) -> int:
    """A CSV file of ``size`` bytes or a little more, in which a is the number of the row; how many rows it has."""
    note = '"a note, with ""quotes""\nand a second line of some length"'
    with path.open("w", newline="") as file:
        file.write("a,b,note\r\n")
        rows = 0
        while file.tell() < size:
            file.write("".join(f"{row},0.5,{note}\r\n" for row in range(rows + 1, rows + 10_001)))
            rows += 10_000
    return rows


def test_a_file_comes_out_row_by_row(tmp_path: Path) -> None:
    done = modelport("score", code(tmp_path), "--input", written(tmp_path / "in.csv", ROW))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Predictions\n3.0\n7.0\n11.0\n"
    assert re.fullmatch(r"scored 3 rows in \d+\.\d s\n", done.stderr)


def test_many_chunks_become_one_answer(tmp_path: Path) -> None:
    rows = large(tmp_path / "in.csv")
    body = f"open(os.path.join({str(tmp_path)!r}, 'sizes'), 'a').write(f'{{len(data)}}\\n')\n{SUM}"
    output = tmp_path / "out.csv"
    done = modelport("score", code(tmp_path, body), "--input", tmp_path / "in.csv", "--output", output)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    sizes = list(map(int, (tmp_path / "sizes").read_text().split()))
    assert len(sizes) == 3
    assert sum(sizes) == rows
    assert pandas.read_csv(output)["Predictions"].tolist() == [row + 0.5 for row in range(1, rows + 1)]
    assert f"scored {rows:,} rows" in done.stderr


def test_memory_is_constant(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    block = b'0.125,0.25,"a note, with ""quotes"""\n' * 30_000
    with source.open("wb") as file:
        file.write(b"a,b,note\n")
        for _ in range(200_000_000 // len(block)):
            file.write(block)
    command = [sys.executable, "-m", "modelport", "score", str(code(tmp_path)), "--input", str(source)]
    process = subprocess.Popen([*command, "--output", str(tmp_path / "out.csv")], stderr=subprocess.PIPE)
    front, worker = [0], [0]
    while process.poll() is None:
        try:
            front.append(psutil.Process(process.pid).memory_info().rss)
            worker += [child.memory_info().rss for child in psutil.Process(process.pid).children()]
        except psutil.Error:
            pass
        time.sleep(0.02)  # between two readings
    assert process.stderr is not None
    with process.stderr:
        told = process.stderr.read()
    assert process.returncode == 0, told
    assert len(front) > 10
    assert max(front) < 150 << 20
    assert max(worker) < 400 << 20
    assert (tmp_path / "out.csv").read_bytes().count(b"\n") == 200_000_000 // len(block) * 30_000 + 1


def test_a_failing_chunk_is_told_by_its_rows_and_leaves_no_file(tmp_path: Path) -> None:
    rows = large(tmp_path / "in.csv")
    folder = code(tmp_path, f"assert data['a'].max() < {rows}, 'too many'\n{SUM}")
    output = written(tmp_path / "out.csv", "as before")
    done = modelport("score", folder, "--input", tmp_path / "in.csv", "--output", output)
    assert done.returncode == 1
    found = re.search(r"error: rows (\d+) to (\d+) of .*in\.csv: AssertionError: too many", done.stderr)
    assert found
    assert 1 < int(found[1]) < int(found[2]) == rows
    assert output.read_text() == "as before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "model", "out.csv"]


def test_a_bad_row_is_told(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    rows = large(source)
    with source.open("a") as file:
        file.write("1,2,\0\n")
    done = modelport("score", code(tmp_path), "--input", source)
    assert done.returncode == 1
    found = re.search(r"rows (\d+) to (\d+) of .*a NUL byte .*in line .*\nhint: line 2 is row (\d+)", done.stderr)
    assert found
    assert int(found[2]) == rows + 1
    assert found[1] == found[3]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("way", ["file", "stdin"])
def test_gzip_is_known_by_its_first_bytes(way: str, packed: bool, tmp_path: Path) -> None:
    data = ROW.encode()
    data = gzip.compress(data[:10]) + gzip.compress(data[10:]) if packed else data
    source = written(tmp_path / "in.data", data)
    command = [sys.executable, "-m", "modelport", "score", code(tmp_path), "--input"]
    with source.open("rb") as stdin:
        done = subprocess.run(
            [*command, source if way == "file" else "-"], stdin=stdin, capture_output=True, check=False
        )
    assert done.stdout == b"Predictions\n3.0\n7.0\n11.0\n", done.stderr


def test_what_comes_a_little_at_a_time_is_put_together() -> None:
    pieces = iter([b"\x1f", b"\x8b", b"abc", b""])
    assert filled(lambda size: next(pieces), 4096) == b"\x1f\x8babc"


def test_a_pipe_that_gives_a_little_at_a_time(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "modelport", "score", code(tmp_path), "--input", "-"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    for byte in gzip.compress(ROW.encode()):
        process.stdin.write(bytes([byte]))
        process.stdin.flush()
    stdout, stderr = process.communicate(timeout=60)
    assert stdout == b"Predictions\n3.0\n7.0\n11.0\n", stderr


TEXTS = {
    "utf-8 with a mark": ("a,b,note\n1,2,é\n".encode("utf-8-sig"), None),
    "a quoted first name behind a mark": ('"note,\nx",a,b\né,1,2\n'.encode("utf-8-sig"), None),
    "latin-1": ("a,b,note\n1,2,é\n".encode("latin-1"), "text/csv; charset=latin-1"),
    "utf-16": ("a,b,note\n1,2,é\n".encode("utf-16"), None),
    "utf-16 as told": ("a,b,note\n1,2,é\n".encode("utf-16-le"), "text/csv; charset=utf-16-le"),
    "ends of lines of Windows": (b"\r\na,b,note\r\n1,2,x\r\n\r\n", None),
    "JSON records": (b'[{"a": 1, "b": 2}]', "application/json"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_charsets_and_forms(name: str, tmp_path: Path) -> None:
    data, content_type = TEXTS[name]
    given = ["--content-type", content_type] if content_type else []
    done = modelport("score", code(tmp_path), "--input", written(tmp_path / "in", data), *given)
    assert done.stdout == "Predictions\n3.0\n", done.stderr


def test_a_model_that_reads_by_itself_gets_all_bytes_as_they_are(tmp_path: Path) -> None:
    more = "def read_input_data(input_binary_data):\n    return pd.read_csv(io.BytesIO(input_binary_data), sep=';')\n"
    body = "return pd.DataFrame({'Predictions': data['a'] + len(data)})"
    text = "a;b;c\n" + f"1;2;{'x' * 200}\n" * 50_000  # more than a chunk
    done = modelport("score", code(tmp_path, body, more=more), "--input", written(tmp_path / "in.csv", text))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Predictions\n" + "50001.0\n" * 50_000


def test_a_matrix_goes_in_one_piece(tmp_path: Path) -> None:
    matrix = "%%MatrixMarket matrix coordinate real general\n2 2 2\n1 1 1.5\n2 2 2.5\n"
    names = written(tmp_path / "names", "a\nb\n")
    body = "return pd.DataFrame({'Predictions': data['a'].to_numpy() - data['b'].to_numpy()})"
    folder = code(tmp_path, body)
    source = written(tmp_path / "in.mtx", matrix)
    done = modelport("drum", "score", "--code-dir", folder, "--input", source, "--sparse-column-file", names)
    assert done.stdout == "Predictions\n1.5\n-2.5\n", done.stderr


def test_rows_that_depend_on_one_another_go_whole(tmp_path: Path) -> None:
    rows = large(tmp_path / "in.csv")
    folder = code(tmp_path, "return pd.DataFrame({'Predictions': [len(data)] * len(data)})")
    found = [
        set(modelport("score", folder, "--input", tmp_path / "in.csv", *given).stdout.splitlines()[1:])
        for given in ([], ["--whole"])
    ]
    assert len(found[0]) > 1
    assert found[1] == {f"{rows}.0"}


def test_columns_that_change_are_told(tmp_path: Path) -> None:
    large(tmp_path / "in.csv")
    body = "return pd.DataFrame({'big' if data['a'].min() > 1 else 'small': data['a']})"
    folder = code(tmp_path, body, hook="transform(data, model)")
    done = modelport("score", folder, "--input", tmp_path / "in.csv")
    assert done.returncode == 1
    assert "the answer has the columns big, and those before it had small" in done.stderr
    assert "--whole" in done.stderr


def test_an_answer_of_another_length_is_no_answer() -> None:
    job = SimpleNamespace(output=io.BytesIO(), file=SimpleNamespace(name="x.csv"))
    answers = Answers(job)  # type: ignore[arg-type]
    with pytest.raises(InvalidOutput, match=r"rows 11 to 13 of x\.csv: 2 rows were answered for 3"):
        answers.take(Chunk(b"", 11, 3), Reply(200, [], b'p\n1\n""\n'))
    assert job.output.getvalue() == b""


def test_missing_predictions_are_rows(tmp_path: Path) -> None:
    done = modelport("score", code(tmp_path), "--input", written(tmp_path / "in.csv", "a,b\n1,\n,2\n3,4\n"))
    assert list(csv.reader(io.StringIO(done.stdout))) == [["Predictions"], [""], [""], ["7.0"]]


def test_a_header_alone_has_an_answer_of_no_rows(tmp_path: Path) -> None:
    done = modelport("score", code(tmp_path), "--input", written(tmp_path / "in.csv", "a,b\n"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Predictions\n"
    assert "scored 0 rows" in done.stderr


def test_any_platform(example: Path, tmp_path: Path) -> None:
    source = written(
        tmp_path / "in.csv", "sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,0.2\n6.9,3.2,5.7,2.3\n"
    )
    done = modelport("score", example, "--endpoint", "iris", "--input", source)
    assert done.returncode == 0, done.stderr
    first, last = csv.DictReader(io.StringIO(done.stdout))
    assert float(first["setosa"]) > 0.9
    assert float(last["virginica"]) > 0.9


ECHO = """
body = data if isinstance(data, bytes) else data.encode()
told = repr((type(data).__name__, kwargs["mimetype"], kwargs["charset"], kwargs["query"]))
return body + told.encode() if kwargs["query"].get("as") == "bytes" else told
"""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "('str', 'text/plain', 'utf8', {})"),
        (["--content-type", "image/png"], "('bytes', 'image/png', 'utf8', {})"),
        (["--content-type", "text/plain;charset=latin1"], "('str', 'text/plain', 'latin1', {})"),
        (["--query", "x=1&y=a%20b"], "('str', 'text/plain', 'utf8', {'x': '1', 'y': 'a b'})"),
        (["--query", '{"x": 1, "y": "a b"}'], "('str', 'text/plain', 'utf8', {'x': '1', 'y': 'a b'})"),
        (["--query", "as=bytes"], "hello\n('str', 'text/plain', 'utf8', {'as': 'bytes'})"),
    ],
)
@pytest.mark.parametrize("verb", ["score", "drum score"])
def test_unstructured_models_get_the_file_and_write_what_they_like(
    verb: str, arguments: list[str], said: str, tmp_path: Path
) -> None:
    folder = code(tmp_path, ECHO, hook="score_unstructured(model, data, **kwargs)")
    path = [folder] if verb == "score" else ["--code-dir", folder]
    output = tmp_path / "out"
    source = written(tmp_path / "in.csv", "hello\n")
    done = modelport(*verb.split(), *path, "--input", source, "--output", output, *arguments)
    assert done.returncode == 0, done.stderr
    assert output.read_text() == said


def test_an_unstructured_model_is_told_what_was_said_and_no_guess(tmp_path: Path) -> None:
    folder = code(tmp_path, ECHO, hook="score_unstructured(model, data, **kwargs)")
    source = written(tmp_path / "in.json", "hello".encode("utf-8-sig"))
    done = modelport("score", folder, "--input", source, "--content-type", "text/plain")
    assert done.stdout == "('str', 'text/plain', 'utf8', {})"
    assert modelport("score", folder, "--input", source).stdout == "('str', 'text/plain', 'utf8', {})"


@pytest.mark.parametrize("verb", ["score", "drum score"])
def test_bytes_without_a_type_are_refused_with_what_helps(verb: str, tmp_path: Path) -> None:
    folder = code(tmp_path, "return str(len(data))", hook="score_unstructured(model, data, **kwargs)")
    path = [folder] if verb == "score" else ["--target-type", "unstructured", "--code-dir", folder]
    command = [*verb.split(), *path, "--input", written(tmp_path / "in", b"\xff\xfe\0\x80")]
    done = modelport(*command)
    assert done.returncode == 1
    assert "is not utf8 text" in done.stderr
    assert "--content-type application/octet-stream" in done.stderr
    assert "hint" not in modelport(*command, "--content-type", "text/plain").stderr
    assert modelport(*command, "--content-type", "application/octet-stream").stdout == "4"


def test_a_model_that_fails_is_not_a_matter_of_types(tmp_path: Path) -> None:
    folder = code(tmp_path, "raise ValueError('no')", hook="score_unstructured(model, data, **kwargs)")
    done = modelport("score", folder, "--input", written(tmp_path / "in", "hello"))
    assert done.returncode == 1
    assert "--content-type" not in done.stderr


def test_what_the_model_prints_is_shown_on_request(tmp_path: Path) -> None:
    folder = code(tmp_path, f"print('hello')\n{SUM}")
    source = written(tmp_path / "in.csv", ROW)
    usual, verbose = (
        modelport("score", folder, "--input", source),
        modelport("score", folder, "--input", source, "--verbose"),
    )
    assert "hello" not in usual.stderr
    assert "hello" in verbose.stderr
    assert verbose.stdout == usual.stdout == "Predictions\n3.0\n7.0\n11.0\n"


def test_text_is_written_in_the_charset_that_the_model_names(tmp_path: Path) -> None:
    body = "return 'é', {'mimetype': 'text/plain', 'charset': 'latin-1'}"
    folder = code(tmp_path, body, hook="score_unstructured(model, data, **kwargs)")
    output = tmp_path / "out"
    assert modelport("score", folder, "--input", written(tmp_path / "in", ""), "--output", output).returncode == 0
    assert output.read_bytes() == b"\xe9"


MISUSE = {
    "no input": ([], "--input"),
    "no file": (["--input", "nowhere.csv"], "cannot read nowhere.csv: No such file"),
    "a folder": (["--input", "."], "cannot read .: Is a directory"),
    "nothing in it": (["--input", "empty"], "the input is empty"),
    "damaged": (["--input", "damaged.gz"], "damaged.gz is damaged"),
    "no charset": (["--input", "in.csv", "--content-type", "text/csv; charset=klingon"], "'klingon' is not known"),
    "no place": (["--input", "in.csv", "--output", "no/where.csv"], "cannot write no/where.csv: No such file"),
    "no space": (["--input", "in.csv", "--output", "/dev/full"], "cannot write /dev/full: No space left"),
    "no query": (["--input", "in.csv", "--query", "{1"], "--query is not valid JSON"),
    "a nested query": (["--input", "in.csv", "--query", '{"a": [1]}'], "--query must hold plain values"),
    "no option": (["--input", "in.csv", "--ouput", "x"], "Did you mean --output?"),
}


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_is_told_with_exit_code_2(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, said = MISUSE[name]
    monkeypatch.chdir(tmp_path)
    written(Path("in.csv"), ROW)
    written(Path("empty"), "\n\n")
    written(Path("damaged.gz"), gzip.compress(os.urandom(100_000))[:-50_000])
    done = modelport("score", code(tmp_path), *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stdout == ""
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["damaged.gz", "empty", "in.csv", "model"]


def test_a_function_takes_no_rows(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "s", function(), code={"functions.py": "def run(): pass\n"})
    done = modelport("score", folder, "--input", written(tmp_path / "in.csv", ROW))
    assert done.returncode == 2
    assert "fn is a function" in done.stderr


def test_a_model_that_does_not_load_has_failed(tmp_path: Path) -> None:
    folder = code(tmp_path, more="import no_such_module\n")
    output = tmp_path / "out.csv"
    done = modelport("score", folder, "--input", written(tmp_path / "in.csv", ROW), "--output", output)
    assert done.returncode == 1
    assert "custom.py" in done.stderr
    assert "hint: install 'no_such_module'" in done.stderr
    assert not output.exists()


def unread(pipe: Any) -> int:
    """Bytes that lie in a pipe."""
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]


def test_interrupting_is_quiet_and_leaves_nothing(tmp_path: Path) -> None:
    """Also while it waits for more of standard input."""
    output = tmp_path / "out.csv"
    command = [sys.executable, "-m", "modelport", "score", code(tmp_path), "--input", "-", "--output", output]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - the tests may run in a background
    )
    assert process.stdin is not None
    try:
        process.stdin.write("a,b\n" + "1,2\n" * 2000)  # more than is looked at before the model is loaded
        process.stdin.flush()
        until(lambda: list(tmp_path.glob(".out.csv.*")), 30, "the scoring to begin")
        until(lambda: not unread(process.stdin), 30, "the rows to be taken")
        process.send_signal(signal.SIGINT)
        process.wait(20)
    finally:
        process.kill()
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_reader_that_leaves_ends_it(tmp_path: Path) -> None:
    large(tmp_path / "in.csv")
    command = [sys.executable, "-m", "modelport", "score", code(tmp_path), "--input", tmp_path / "in.csv"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout:
        assert process.stdout.read(12) == b"Predictions\n"
    with process.stderr:
        assert b"Traceback" not in process.stderr.read()
    assert process.wait(30) == 1


@pytest.mark.parametrize(
    ("text", "query"), [(None, ""), ("?a=1", "a=1"), ('{"a": true, "b": null, "c": "&"}', "a=true&b=null&c=%26")]
)
def test_queries(text: str | None, query: str) -> None:
    assert read_query(text) == query


def test_a_bar_shows_rows_and_bytes_on_a_terminal(tmp_path: Path) -> None:
    rows = large(tmp_path / "in.csv")
    leader, follower = os.openpty()
    command = [sys.executable, "-m", "modelport", "score", code(tmp_path), "--input", tmp_path / "in.csv"]
    seen: list[bytes] = []

    def watch() -> None:
        try:
            while data := os.read(leader, 4096):
                seen.append(data)
        except OSError:  # the other end is closed
            pass

    watcher = threading.Thread(target=watch)
    watcher.start()
    done = subprocess.run(command, stderr=follower, stdout=subprocess.DEVNULL, check=False)
    os.close(follower)
    watcher.join(10)
    os.close(leader)
    assert done.returncode == 0
    text = b"".join(seen).decode()
    assert f"{rows:,} rows" in text
    assert "MB" in text


def test_the_query_of_the_platform_may_be_json_too() -> None:
    with pytest.raises(ConfigError, match="plain values"):
        read_query(json.dumps({"a": {}}))
