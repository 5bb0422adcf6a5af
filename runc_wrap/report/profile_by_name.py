"""A profile by its name alone, compiled for enforce as `apply` compiles it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.policy import named_profiles
from runc_wrap.profiles import platform
from runc_wrap.profiles.arguments import narrowed_comparisons
from runc_wrap.profiles.profile_compiler import compile_profile

if TYPE_CHECKING:
    from runc_wrap.hotpath.compiled_policy import CompiledProfile
    from runc_wrap.profiles.source_profile import Profile


def compiled(profile: Profile) -> CompiledProfile:
    """Return a profile's compiled form for this machine. Raises ProfileError."""
    made = narrowed_comparisons.narrowed(profile).profile
    return compile_profile(made, arch=platform.goarch(), kernel=platform.kernel())


def built_in(name: str) -> CompiledProfile:
    """Return one whose name needs no file. Raises ProfileError for any other."""
    return compiled(named_profiles.loaded(name, {}).profile)
