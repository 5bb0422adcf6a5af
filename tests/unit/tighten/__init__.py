"""Tests of runc_wrap.tighten."""
