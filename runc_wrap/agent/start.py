"""Starts one of the agent's processes: python -I -S -B -X utf8 start.py ROLE PREFIX.

Started by path and without `site`: a role's imports decide how much memory it takes.
"""

import sys

sys.path.insert(0, __file__.rsplit("/", 3)[0])

ROLES = {
    "keeper": "runc_wrap.agent.supervisor.keeper",
    "decisions": "runc_wrap.agent.decide.decision_server",
    "lingering": "runc_wrap.agent.supervisor.drain",
    "evidence": "runc_wrap.agent.evidence_worker",
    "inspector": "runc_wrap.agent.observe.inspector",
    "trial": "runc_wrap.agent.supervisor.upgrade_check",
}

if __name__ == "__main__":
    from importlib import import_module

    import_module(ROLES[sys.argv[1]]).main(sys.argv[2])
