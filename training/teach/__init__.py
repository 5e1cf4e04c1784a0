"""What larger networks teach: their answers, where their evidence lies, and a last phase."""
