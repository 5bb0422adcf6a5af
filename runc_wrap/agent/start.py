"""Starts one of the agent's processes: python -I -S -B -X utf8 start.py ROLE PREFIX.

Started by path and without `site`: a role's imports decide how much memory it takes.
"""

import sys

sys.path.insert(0, __file__.rsplit("/", 3)[0])

ROLES = {
    "decide": "runc_wrap.agent.decide.decision_server",
    "observe": "runc_wrap.agent.observe_service",
    "inspector": "runc_wrap.agent.observe.inspector",
    "metrics": "runc_wrap.metrics.metrics_file",
}

if __name__ == "__main__":
    from importlib import import_module

    import_module(ROLES[sys.argv[1]]).main(sys.argv[2])
