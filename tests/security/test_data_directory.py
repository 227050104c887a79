"""What lies in the data directory is readable by the daemon's account only, where it may hold secrets or what functions print."""

import os
import stat


def test_metadata_logs_and_usage_are_private(node):
    node.deploy_function("def handler(event, context):\n    print('secret')\n    return 'ok'\n", app="private", env={"TOKEN": "s3cret"})
    assert node.call("private/f").status_code == 200
    private = [node.data / name for name in ("metadata.db", "logs", "launcher.lock", "build")] + sorted((node.data / "usage").iterdir())
    open_to_others = [str(path) for path in private if stat.S_IMODE(os.stat(path).st_mode) & 0o007]
    assert not open_to_others
