"""Configurations of engines as people write them, valid or not, for properties."""

from hypothesis import strategies as st

Texts = st.SearchStrategy[str]
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
        f'[plugins."{CRI}".containerd]\nsnapshotter = "overlayfs"',
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


def _documents(roots: Texts, tables: Texts) -> Texts:
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
of_podman = _documents(
    st.just(""),
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
