import os, pytest
from harness.mounting import CACHE
from harness.readers import MIB
from harness.versions import NOW, SIZE
pytestmark = pytest.mark.fuse
@pytest.mark.parametrize("what", ["chmod","rename","link","replace","touch"])
def test_l(path, reader, mounts, what):
    m = mounts.mount(path.parent, f"{NOW},prefetch_window=1MB", CACHE)
    r = reader(m); assert r.read(0, MIB)==1
    if what=="chmod": os.chmod(path,0o600)
    if what=="rename": os.rename(path, path.with_name("other"))
    if what=="link": os.link(path, path.with_name("other"))
    if what=="replace":
        from harness.versions import put
        put(path,2)
    if what=="touch": os.utime(path)
    print(what, r.read(SIZE-MIB, MIB))
