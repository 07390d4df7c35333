"""The contract of a source, for this one: `python -m pytest test_alluxio_jnifuse_zip.py`."""

import zipfile

from alluxio_jnifuse_zip import ZipSource

from alluxio_jnifuse.testing.contract import PLAIN_TREE, SourceContract, World, files_of


class TestZip(SourceContract):
    tree = PLAIN_TREE

    def make(self, tree, directory):
        with zipfile.ZipFile(directory / "set.zip", "w") as archive:
            for path, content in files_of(tree):
                archive.writestr(path[1:].decode(), content)
        return World(ZipSource(directory / "set.zip"))
