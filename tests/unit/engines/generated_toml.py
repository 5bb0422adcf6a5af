"""Configurations of engines as people write them, valid or not, for properties."""

from __future__ import annotations

from hypothesis import strategies as st

CRI = "io.containerd.grpc.v1.cri"
_KEYS = st.sampled_from(["a", "b-c", '"d e"', "'f.g'", "imports_"])
_VALUES = st.sampled_from(
    [
        "1",
        "-0.5",
        "true",
        '"x # y"',
        "'[z]'",
        "[1, 2,]",
        "[\n  'a', # one\n  'b'\n]",
        '{p = 1, q = {r = "s"}}',
        '"""\n[plugins]\nversion = 9\n"""',
        "'''\n# END\n'''",
        "1979-05-27T07:32:00Z",
    ]
)
_LINES = st.one_of(
    st.builds("{} = {}".format, _KEYS, _VALUES),
    st.builds("{}.{} = {}  # why".format, _KEYS, _KEYS, _VALUES),
    st.sampled_from(["", "  ", "# a comment", "#[plugins]", "\t# BEGIN"]),
)
_RUNC = f"plugins.'{CRI}'.containerd.runtimes.runc"
_TABLES = st.sampled_from(
    [
        "[plugins]",
        f"[ plugins . '{CRI}' ]",
        f'[plugins."{CRI}".containerd]\ndefault_runtime_name = "runc"  # as ever',
        f"[plugins.'{CRI}'.containerd.runtimes.runc]\nruntime_type = 'io.containerd.runc.v2'",
        f"[{_RUNC}.options]\nSystemdCgroup = true",
        f"[{_RUNC}]\noptions = {{SystemdCgroup = true, Root = '/r'}}",
        f"[plugins.'{CRI}'.containerd]\nruntimes.runc.options.SystemdCgroup = true",
        f"[plugins]\n'{CRI}' = {{containerd = {{runtimes = {{}}}}}}",
        "[plugins.other]\nkey = 1",
        "[grpc]\n  address = '/run/x.sock'",
        "[timeouts]",
        "[[stream]]\nx = 1",
    ]
)
_ROOTS = st.sampled_from(["version = 2", "version=2 # two", '"version" = 2', "version = 3", ""])


def _documents(
    roots: st.SearchStrategy[str], tables: st.SearchStrategy[str]
) -> st.SearchStrategy[str]:
    return st.builds(
        lambda root, lines, blocks, end, has_end: end.join(
            [line for part in (root, *lines, *(x for block in blocks for x in block)) for line in
             part.split("\n")]
        )
        + (end if has_end else ""),
        roots,
        st.lists(_LINES, max_size=3),
        st.lists(st.tuples(tables, _LINES), max_size=4),
        st.sampled_from(["\n", "\r\n"]),
        st.booleans(),
    ).filter(str.strip)  # fmt: skip


documents = _documents(_ROOTS, _TABLES)
_NO_ROOT = st.just("")
of_crio = _documents(
    _NO_ROOT,
    st.sampled_from(
        [
            "[crio]\nroot = '/s'",
            "[crio.runtime]\ndefault_runtime = 'crun'  # as ever",
            "[ crio . \"runtime\" ]\nruntimes.crun.monitor_path = '/c'",
            "[crio.runtime.runtimes.crun]\nruntime_root = '/r'\nallowed_annotations = ['a',\n 'b']",
            "[crio.runtime.runtimes.crun.default_annotations]\n'a.b/c' = \"d # e\"",
            "[crio.runtime.runtimes]\nrunc = {runtime_type = 'oci', runtime_path = '/x'}",
            "[crio.runtime.runtimes.x]",
            "[crio.image]\npause_image = 'p'",
            "[[crio]]",
        ]
    ),
)
of_podman = _documents(
    _NO_ROOT,
    st.sampled_from(
        [
            "[engine]\nruntime = 'crun'",
            "[engine]\nruntime_supports_json = ['own', {append = true}]",
            "[ 'engine' ]\nruntimes.own = ['/own']",
            "[engine.runtimes]\nown = [\n  '/own', # first\n]",
            "[engine.runtimes]\nx = ['/x']",
            "[containers]\nlog_driver = 'journald'",
            "[[engine]]",
            "engine = 1",
        ]
    ),
)
_RUNTIMES = st.sampled_from(["crun", "runc", "own"])
_SETTINGS = st.sampled_from(
    [
        "runtime_path = '/own'",
        "runtime_type = 'oci'",
        'runtime_type = ""',
        "runtime_type = 'vm'",
        "runtime_root = '/r'  # as ever",
        'monitor_path = "/\\u00e9 # \\""',
        "monitor_env = ['A=1', \"B='2'\"]",
        "allowed_annotations = [\n  'a', # one\n  'b',\n]",
        "default_annotations = {'a.b/c' = \"d\", e = 'f'}",
        "default_annotations.'a.b/c' = 'd'",
        "privileged_without_host_devices = true",
        "inherit_default_runtime = true",
        "platform_runtime_paths = {'linux/arm64' = '/a'}",
    ]
)


def _crio_file(
    default: str | None, tables: dict[str, list[str]], comment: str, end: str, has_end: bool
) -> str:
    lines = [comment, "[crio.runtime]", *([f"default_runtime = '{default}'"] if default else [])]
    for name, settings in tables.items():
        keys: dict[str, str] = {each.split(" ")[0].split(".")[0]: each for each in settings}
        lines += [f"[crio.runtime.runtimes.{name}]", *keys.values()]
    text = "\n".join(lines).replace("\n", end)
    return text + end if has_end else text


# Valid ones, which differ in what is the default and what its table says.
of_crio_runtimes = st.builds(
    _crio_file,
    st.none() | _RUNTIMES,
    st.dictionaries(_RUNTIMES, st.lists(_SETTINGS, max_size=5), max_size=3),
    st.sampled_from(["# CRI-O", "", "\t# [crio]"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
