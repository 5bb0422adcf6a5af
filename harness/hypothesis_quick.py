"""A plugin for pytest: hypothesis finds what fails, and does not look for the shortest of it."""

from hypothesis import Phase, settings

settings.register_profile("hurried", phases=(Phase.explicit, Phase.generate))
settings.load_profile("hurried")
