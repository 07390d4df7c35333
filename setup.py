"""The extension modules and the protobuf messages; everything else about the package is in pyproject.toml."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

from setuptools import Command, Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.errors import SetupError
from setuptools.modified import newer_group

# setuptools wants relative sources, and pip and `python setup.py` both start here.
CSRC = Path("csrc")
MODULE = Path("src/alluxio_jnifuse")
CORE, WIRE = "alluxio_jnifuse._core", "alluxio_jnifuse._wire"
GENERATED = "build/cython"
PROTO = MODULE / "sources/alluxio/proto"
SYMBOLS = CSRC / "symbols.map"
ENSURE_LIBFUSE = "scripts/ensure-libfuse"
OLDEST_LIBFUSE = "3.12"

# Shared with the C tests. -Wno-unused-parameter: libfuse's callbacks have one shape, not every one needs all of it.
CFLAGS = shlex.split((CSRC / "cflags").read_text())
# Not with the sanitizers, which look for more.
HARDENING = ["-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2", "-fstack-protector-strong"]
WARNINGS = [flag for flag in CFLAGS if flag.startswith("-W")]


def add_libfuse(ext: Extension) -> None:
    """Point the extension to libfuse: our static build where there is one, else the system's shared library."""
    static = subprocess.run([ENSURE_LIBFUSE, "--print"], stdout=subprocess.PIPE, text=True, check=False)
    if static.returncode == 0:
        prefix = Path(static.stdout.strip())
        ext.depends.append(str(prefix / "include/fuse3/libfuse_config.h"))
        ext.include_dirs.append(str(prefix / "include/fuse3"))
        ext.define_macros.append(("AJF_LIBFUSE_STATIC", "1"))
        ext.extra_objects.append(str(prefix / "lib/libfuse3.a"))
        ext.libraries += ["dl", "rt", "pthread"]
        (libdir,) = pkg_config("liburing", "--variable=libdir")
        ext.extra_objects.append(f"{libdir}/liburing.a")
        # Another library of the process may bring its own libfuse: ours must not be seen outside.
        ext.extra_link_args.append(f"-Wl,--version-script={SYMBOLS}")
        ext.depends.append(str(SYMBOLS))
        return
    # In the fields meant for them, so that a -L of Python's own build cannot come before.
    libfuse = f"fuse3 >= {OLDEST_LIBFUSE}"
    ext.include_dirs += pkg_config(libfuse, "--cflags-only-I", prefix="-I")
    ext.library_dirs += pkg_config(libfuse, "--libs-only-L", prefix="-L")
    ext.libraries += pkg_config(libfuse, "--libs-only-l", prefix="-l")


def pkg_config(package: str, query: str, *, prefix: str = "") -> list[str]:
    """The answer of pkg-config about a package of the system, without the prefix of each flag."""
    command = ["pkg-config", query, package]
    try:
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise SetupError(
            f"{package} was not found: install pkg-config and libfuse {OLDEST_LIBFUSE} or newer (libfuse3-dev on "
            f"Debian, fuse3-devel on Fedora), or build our static one with {ENSURE_LIBFUSE} (needs meson, ninja, "
            "liburing-dev)"
        ) from None
    return [flag[len(prefix) :] for flag in shlex.split(answer) if flag.startswith(prefix)]


class BuildExt(build_ext):
    """Compiles on every core, only what changed, and the C core with stricter warnings than the generated module."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.editable_mode:
            # pip's directory lives for one call; in the one of `setup.py build_ext` the objects stay.
            self.build_temp = f"build/temp.{self.plat_name}-{sys.implementation.cache_tag}"

    def build_extension(self, ext: Extension) -> None:
        from Cython.Build import cythonize  # here: an sdist is made without Cython

        if ext.name == CORE:
            add_libfuse(ext)
        pyx, *csrc = ext.sources
        generated = Path(GENERATED, pyx).with_suffix(".c")
        # Cython alone overlooks a changed .pxd that was taken by `from package cimport _module`.
        changed = newer_group([pyx, *map(str, MODULE.glob("*.px[di]"))], str(generated))
        cythonize(Extension(ext.name, [pyx]), build_dir=GENERATED, include_path=["src"], force=changed)
        ext.sources = [str(generated), *csrc]
        compile_all = self.compiler.compile
        strict = [*WARNINGS, *(["-Werror"] if os.environ.get("AJF_WERROR") == "1" else [])]

        def compile_changed(sources: list[str], **options: Any) -> list[str]:
            depends, flags = options.pop("depends"), options.pop("extra_postargs")

            def compile_one(source: str) -> str:
                (output,) = self.compiler.object_filenames([source], output_dir=options["output_dir"])
                if self.force or newer_group([source, *depends], output):
                    compile_all([source], extra_postargs=flags + strict if source in csrc else flags, **options)
                return output

            with ThreadPoolExecutor(os.cpu_count()) as pool:
                return list(pool.map(compile_one, sources))

        self.compiler.compile = compile_changed
        try:
            super().build_extension(ext)
        finally:
            self.compiler.compile = compile_all


class BuildProto(Command):
    """Makes X_pb2.py and X_pb2.pyi beside every X.proto.

    The modules are what protoc would write but for its check of the runtime's version: it would tie a wheel to few
    versions of protobuf, and a serialised descriptor means the same to all of them.
    """

    description = "make Python modules of the .proto files"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = []
    editable_mode = False

    def initialize_options(self) -> None:
        self.build_lib = ""

    def finalize_options(self) -> None:
        self.build_lib = self.build_lib or self.get_finalized_command("build_py").build_lib
        self.protos = sorted(PROTO.glob("*.proto"))
        self.made = [p.with_name(f"{p.stem}_pb2{ending}") for p in self.protos for ending in (".py", ".pyi")]

    def get_source_files(self) -> list[str]:
        return [str(proto) for proto in self.protos]

    def get_outputs(self) -> list[str]:
        return list(self.get_output_mapping())

    def get_output_mapping(self) -> dict[str, str]:
        return {str(Path(self.build_lib, path.relative_to("src"))): str(path) for path in self.made}

    def run(self) -> None:
        inputs = ["setup.py", *self.get_source_files()]
        if self.force or any(newer_group(inputs, str(path)) for path in self.made):
            Path("build").mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(dir="build") as directory:
                self.make(Path(directory))

    def make(self, directory: Path) -> None:
        from google.protobuf.descriptor_pb2 import FileDescriptorSet  # here, as Cython

        described = directory / "descriptors"
        command = [sys.executable, "-m", "grpc_tools.protoc", "-Isrc", f"--pyi_out={directory}"]
        subprocess.run([*command, f"--descriptor_set_out={described}", *self.get_source_files()], check=True)
        for file in FileDescriptorSet.FromString(described.read_bytes()).file:
            module = directory / f"{file.name[: -len('.proto')]}_pb2.py"
            needed = [f"import {name[: -len('.proto')].replace('/', '.')}_pb2" for name in file.dependency]
            module.write_text(
                "\n".join(
                    [
                        f'"""The messages of {Path(file.name).name}, made by setup.py."""',
                        "from google.protobuf import descriptor_pool",
                        "from google.protobuf.internal import builder",
                        *needed,
                        f"DESCRIPTOR = descriptor_pool.Default().AddSerializedFile({file.SerializeToString()!r})",
                        "builder.BuildMessageAndEnumDescriptors(DESCRIPTOR, globals())",
                        "builder.BuildTopDescriptorsAndMessages(DESCRIPTOR, __name__, globals())\n",
                    ]
                )
            )
        for path in self.made:
            os.replace(directory / path.relative_to("src"), path)


# Before build_py, which takes what is there.
build.sub_commands.insert(0, ("build_proto", None))


def extension(name: str, *, parts: Iterable[str]) -> Extension:
    """A module of what lies in these directories of csrc/, and its glue. It may use the headers of base/, too."""
    within = [CSRC / part for part in {*parts, "base"}]
    headers = sorted(str(path) for part in within for ending in ("h", "def") for path in part.glob(f"*.{ending}"))
    return Extension(
        name,
        sources=[
            str(MODULE / f"{name.rpartition('.')[2]}.pyx"),
            *sorted(str(path) for part in parts for path in (CSRC / part).glob("*.c")),
        ],
        depends=["setup.py", str(CSRC / "cflags"), *headers],
        include_dirs=[str(CSRC)],
        extra_compile_args=[*(flag for flag in CFLAGS if flag not in WARNINGS), *HARDENING],
        extra_link_args=["-Wl,-z,relro,-z,now"],
    )


# These files lie beside the mount, and know nothing of it; the mount is all else.
BESIDE = {"wire"}

setup(
    cmdclass={"build_ext": BuildExt, "build_proto": BuildProto},
    ext_modules=[
        extension(CORE, parts={".", *(path.name for path in CSRC.iterdir() if path.is_dir())} - BESIDE),
        extension(WIRE, parts=BESIDE),
    ],
)
