// The precompiled header of the unit tests (test_pch.h) belongs to a target, and a target has a source.
