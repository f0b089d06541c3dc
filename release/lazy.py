#!/usr/bin/env python3
"""Libraries to link CUDA programs against, which look for the real ones when they are first called.

    python3 release/lazy.py FOLDER [CUDA_HOME]

A program that is linked against FOLDER/lib*.a starts where there is no CUDA: each function opens its library when it is
first called, and where that is missing returns an error, whose cause goes to standard error (but for the driver: that
there is none is what the error says). The CUDA runtime is linked whole, from CUDA_HOME; it opens the driver by itself.

The names of functions are those that cudarc declares, in the version that Cargo.lock names. For Linux on x86-64.
"""
import json
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

# Library; module of cudarc; names of its file, the best first; what is returned where it is missing.
LIBRARIES = [
    ("cuda", "driver", ["libcuda.so.1"], "CUDA_ERROR_NO_DEVICE"),
    ("nvrtc", "nvrtc", ["libnvrtc.so.13", "libnvrtc.so.12"], "NVRTC_ERROR_INTERNAL_ERROR"),
    ("curand", "curand", ["libcurand.so.10"], "CURAND_STATUS_INITIALIZATION_FAILED"),
    ("cublas", "cublas", ["libcublas.so.13", "libcublas.so.12"], "CUBLAS_STATUS_NOT_INITIALIZED"),
    ("cublasLt", "cublaslt", ["libcublasLt.so.13", "libcublasLt.so.12"], "CUBLAS_STATUS_NOT_INITIALIZED"),
    ("cudnn", "cudnn", ["libcudnn.so.9"], "CUDNN_STATUS_NOT_INITIALIZED"),
]
# Where a library is looked for that the system does not know.
FOLDERS = ["/usr/local/cuda/lib64", "/opt/cuda/lib64"]

FUNCTION = re.compile(r"\bfn ((?:cu|nvrtc)[A-Za-z0-9_]+)\s*\([^{;]*?\)\s*(?:->\s*([^{;]+?))?\s*[;{]", re.S)


def cudarc():
    """The folder of cudarc's sources."""
    told = subprocess.run(["cargo", "metadata", "--format-version=1", "--locked", "--features", "sconce-bin/cuda"],
                          capture_output=True, text=True)
    if told.returncode:
        sys.exit(told.stderr.strip())
    found = [package for package in json.loads(told.stdout)["packages"] if package["name"] == "cudarc"]
    if not found:
        sys.exit("cudarc is not among the dependencies")
    return Path(found[0]["manifest_path"]).parent


def declared(text):
    """The functions that a module declares, in order: name and type of result."""
    found = {}
    for name, result in FUNCTION.findall(text):
        if not name.startswith("culib"):
            found.setdefault(name, result)
    return sorted(found.items())


def without_library(name, result):
    """What a function does where its library is missing: the name of a function in C."""
    if name in ("cuGetErrorString", "cuGetErrorName"):
        return "describe"
    if "c_char" in result:
        return "text"
    return "nothing" if result == "usize" else "fail"


def code_in_c(library, files, error, functions):
    """Finding the real functions."""
    candidates = [f"{folder}{file}" for folder in ["", *(f"{folder}/" for folder in FOLDERS)] for file in files]
    missing = f"{files[0]} is not installed"
    said = "" if library == "cuda" else f"""
    static int told;
    if (!__atomic_exchange_n(&told, 1, __ATOMIC_RELAXED)) {{
      fputs("{missing}, or cannot be opened; LD_LIBRARY_PATH may name its folder\\n", stderr);
    }}"""
    named = "\n".join(f'  {{"{name}", (void *){without_library(name, result)}}},' for name, result in functions)
    paths = ", ".join(f'"{candidate}"' for candidate in candidates)
    return f"""
#include <dlfcn.h>
#include <stdio.h>

__attribute__((unused)) static int fail(void) {{ return {error}; }}
__attribute__((unused)) static unsigned long nothing(void) {{ return 0; }}
__attribute__((unused)) static const char *text(void) {{ return "{missing}"; }}
__attribute__((unused)) static int describe(int code, const char **to) {{
  (void)code;
  *to = "{missing}";
  return 0;
}}

struct function {{
  const char *name;
  void *otherwise;
}};
static const struct function functions[] = {{
{named}
}};
static const char *const files[] = {{{paths}}};

static void *library(void) {{
  static void *opened;
  void *handle = __atomic_load_n(&opened, __ATOMIC_ACQUIRE);
  for (unsigned at = 0; !handle && at < sizeof files / sizeof *files; ++at) {{
    handle = dlopen(files[at], RTLD_NOW | RTLD_LOCAL);
  }}
  __atomic_store_n(&opened, handle, __ATOMIC_RELEASE);
  return handle;
}}

extern void *lazy_{library}_slots[] __attribute__((visibility("hidden")));

// Where function `at` is, from now on.
__attribute__((visibility("hidden"))) void *lazy_{library}_find(unsigned at) {{
  void *handle = library(), *found = handle ? dlsym(handle, functions[at].name) : NULL;
  if (!handle) {{{said}
  }}
  if (!found) found = handle ? (void *)fail : functions[at].otherwise;
  __atomic_store_n(&lazy_{library}_slots[at], found, __ATOMIC_RELEASE);
  return found;
}}
"""


# Arguments that lie in registers; whatever lies on the stack stays there.
INTEGERS = ["rdi", "rsi", "rdx", "rcx", "r8", "r9", "rax", "r10"]
FLOATS = [f"xmm{number}" for number in range(8)]


def code_in_assembly(library, functions):
    """The functions: each jumps to where its slot points, which is at first the search for it."""
    room = 16 * len(FLOATS)
    lines = [".text", f"lazy_{library}_search:", "push %rbp", "mov %rsp, %rbp"]
    lines += [f"push %{register}" for register in INTEGERS]
    lines += [f"sub ${room}, %rsp"]
    lines += [f"movups %{register}, {16 * at}(%rsp)" for at, register in enumerate(FLOATS)]
    lines += ["mov %r11d, %edi", f"call lazy_{library}_find", "mov %rax, %r11"]
    lines += [f"movups {16 * at}(%rsp), %{register}" for at, register in enumerate(FLOATS)]
    lines += [f"add ${room}, %rsp"]
    lines += [f"pop %{register}" for register in reversed(INTEGERS)]
    lines += ["pop %rbp", "jmp *%r11"]
    for at, (name, _) in enumerate(functions):
        lines += [f".globl {name}", f".type {name}, @function", f"{name}:"]
        lines += [f"jmp *lazy_{library}_slots+{8 * at}(%rip)", f".Lsearch{at}:"]
        lines += [f"mov ${at}, %r11d", f"jmp lazy_{library}_search", f".size {name}, .-{name}"]
    lines += ['.section .data.rel,"aw",@progbits', ".balign 8", f".globl lazy_{library}_slots"]
    lines += [f".hidden lazy_{library}_slots", f"lazy_{library}_slots:"]
    lines += [f".quad .Lsearch{at}" for at in range(len(functions))]
    lines += ['.section .note.GNU-stack,"",@progbits']
    return "\n".join(lines) + "\n"


def value(text, error):
    """The number of an error. Where versions differ (cuDNN 8 and 9), the newer has the larger one."""
    found = {int(number) for number in re.findall(rf"\b{error} = (\d+),", text)}
    if not found:
        sys.exit(f"cudarc knows no {error}")
    return max(found)


def build(folder, library, source, files, error):
    text = source.read_text()
    functions = declared(text)
    if not functions:
        sys.exit(f"cudarc declares nothing of {files[0]}")
    parts = [("c", code_in_c(library, files, value(text, error), functions)),
             ("s", code_in_assembly(library, functions))]
    objects = []
    for kind, code in parts:
        file = folder / f"{library}.{kind}"
        file.write_text(code)
        objects.append(str(folder / f"{library}_{kind}.o"))
        subprocess.run(["cc", "-O2", "-fPIC", "-Wall", "-c", str(file), "-o", objects[-1]], check=True)
    archive = folder / f"lib{library}.a"
    archive.unlink(missing_ok=True)
    subprocess.run(["ar", "rcs", str(archive), *objects], check=True)
    print(f"{archive.name}: {len(functions)} functions")


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        sys.exit("only for Linux on x86-64")
    folder, sources = Path(sys.argv[1]), cudarc() / "src"
    folder.mkdir(parents=True, exist_ok=True)
    for library, module, files, error in LIBRARIES:
        build(folder, library, sources / module / "sys/mod.rs", files, error)
    if len(sys.argv) == 3:
        places = [Path(sys.argv[2]) / lib / "libcudart_static.a" for lib in ("lib64", "lib")]
        runtime = next((place for place in places if place.is_file()), None)
        if runtime is None:
            sys.exit(f"{sys.argv[2]} has no libcudart_static.a")
        shutil.copyfile(runtime, folder / "libcudart.a")


if __name__ == "__main__":
    main()
