"""The process that fuzzes one target.

python -m tests.campaigns.fuzz_one TARGET CORPUS [libFuzzer's words]
"""

import sys

import atheris


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    target = sys.argv.pop(1)
    with atheris.instrument_imports(include=["runc_wrap"]):
        from tests.campaigns.targets import TARGETS  # noqa: PLC0415 - instrumented as it is imported
    atheris.Setup(sys.argv, TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
