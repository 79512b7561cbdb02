"""A folder of PyTorch's libraries -> stand-ins for the CUDA libraries that they link and never
call on a CPU, so that the peer needs two small NVIDIA wheels instead of two gigabytes of them.

Each stand-in defines the symbols that the loader wants; calling one aborts.
"""

import pathlib
import re
import subprocess
import sys

# Prefix of the functions of each library that is stood in for.
LIBRARIES = {
    "libcublas.so.13": "cublas",
    "libcublasLt.so.13": "cublasLt",
    "libcudnn.so.9": "cudnn",
    "libcufft.so.12": "cufft",
    "libcufile.so.0": "cuFile",
    "libcurand.so.10": "curand",
    "libcusolver.so.12": "cusolver",
    "libcusparse.so.12": "cusparse",
    "libcusparseLt.so.0": "cusparseLt",
    "libnccl.so.2": "nccl",
    "libnvshmem_host.so.3": "nvshmem",
}


def undefined_symbols(library):
    """(name, version or "") of every symbol that a shared library expects from another."""
    listing = subprocess.run(["nm", "-D", "--undefined-only", library], check=True,
                             capture_output=True, text=True).stdout
    for line in listing.splitlines():
        name, _, version = line.split()[-1].partition("@")
        if re.fullmatch(r"[A-Za-z_]\w*", name):
            yield name, version.lstrip("@")


def owner(name):
    fitting = [lib for lib, prefix in LIBRARIES.items() if name.startswith(prefix)]
    return max(fitting, key=lambda lib: len(LIBRARIES[lib]), default=None)


def build(library, symbols, folder):
    versions = {}
    for name, version in sorted(symbols):
        versions.setdefault(version, []).append(name)
    source = "".join(f"void {name}(void) {{ __builtin_trap(); }}\n" for name, _ in sorted(symbols))
    script = "".join(f"{version} {{ global: {'; '.join(names)}; }};\n"
                     for version, names in versions.items() if version)
    script_file = folder / (library + ".map")
    script_file.write_text(script)
    command = ["gcc", "-shared", "-fPIC", "-x", "c", "-", f"-Wl,-soname,{library}",
               "-o", str(folder / library)]
    if script:
        command.append(f"-Wl,--version-script={script_file}")
    subprocess.run(command, input=source, text=True, check=True)
    script_file.unlink()


def main(torch_folder, into):
    wanted = {library: set() for library in LIBRARIES}
    for library in pathlib.Path(torch_folder).glob("*.so"):
        for symbol in undefined_symbols(library):
            if (found := owner(symbol[0])) is not None:
                wanted[found].add(symbol)
    for library, symbols in wanted.items():
        build(library, symbols, pathlib.Path(into))


if __name__ == "__main__":
    main(*sys.argv[1:])
