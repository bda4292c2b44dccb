"""Generates vecdb/_pb from proto/vecdb/v1 with grpcio-tools: `make proto`, or `generate.py DIRECTORY` to compare.

protoc's output is changed in two ways. Imports name the place where the code lies, so that it is importable without
touching sys.path. And the check that the protobuf and grpc installed are at least as new as the generator is left out:
the code is a serialised descriptor and calls that every protobuf from 5.26 on and every grpcio from 1.65 on have, and a
client should not need a newer one because we generated with it.
"""

from __future__ import annotations

import re
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

PROTO = Path(__file__).resolve().parent
TARGET = PROTO.parent / "vecdb" / "_pb"
PACKAGE = "vecdb._pb.v1"

INITS = {
    "__init__.py": '"""Holds code generated from proto/ by `make proto`; `vecdb.wire` is the way to use it."""\n',
    "v1/__init__.py": '"""Holds the messages and stubs of the package vecdb.v1, generated."""\n',
}
CHANGES = (
    (r"^from vecdb\.v1 import ", f"from {PACKAGE} import ", re.MULTILINE),
    (r"'vecdb\.v1\.(\w+_pb2)'", rf"'{PACKAGE}.\1'", 0),
    (r"^from google\.protobuf import runtime_version .*\n", "", re.MULTILINE),
    (r"^_runtime_version\.ValidateProtobufRuntimeVersion\([^)]*\)\n", "", re.MULTILINE),
    (r"^# Protobuf Python Version: .*\n", "", re.MULTILINE),
    (r"^GRPC_GENERATED_VERSION = .*?^    \)\n\n", "", re.MULTILINE | re.DOTALL),
    (r"^import warnings\n", "", re.MULTILINE),
)


def generate(target: Path) -> None:
    """Write the package into a directory, which need not exist."""
    from grpc_tools import protoc  # noqa: PLC0415 - only whoever generates has it

    sources = sorted(path.relative_to(PROTO).as_posix() for path in (PROTO / "vecdb" / "v1").glob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        outputs = [f"--{kind}_out={scratch}" for kind in ("python", "pyi", "grpc_python")]
        includes = [f"-I{PROTO}", f"-I{files('grpc_tools') / '_proto'}"]
        if protoc.main(["protoc", *includes, *outputs, *sources]) != 0:
            raise SystemExit("protoc failed")
        (target / "v1").mkdir(parents=True, exist_ok=True)
        for stale in (target / "v1").glob("*_pb2*"):
            stale.unlink()
        for made in sorted((Path(scratch) / "vecdb" / "v1").iterdir()):
            has_service = made.name.endswith("_service_pb2_grpc.py")
            if has_service or not made.name.endswith("_pb2_grpc.py"):
                (target / "v1" / made.name).write_text(changed(made.read_text(encoding="utf-8")), encoding="utf-8")
    for name, text in INITS.items():
        (target / name).write_text(text, encoding="utf-8")


def changed(text: str) -> str:
    """What protoc wrote, as it is kept here."""
    for pattern, replacement, flags in CHANGES:
        text = re.sub(pattern, replacement, text, flags=flags)
    return text


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
