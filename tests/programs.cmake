# Tests that run build/tvc, one per subject.
