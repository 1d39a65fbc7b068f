"""What absltest's main does and pytest's does not."""

from absl import flags

flags.FLAGS.mark_as_parsed()  # create_tempfile and create_tempdir read --test_tmpdir
