#!/usr/bin/env python3
"""Do the hub's official client and sconce agree about models, and about the hub that sconce is tested with?

    python3 -m venv venv && venv/bin/pip install huggingface_hub cryptography
    cargo build --release --package sconce-test-hub --example hub_server && cargo build --release
    venv/bin/python benchmarks/interop/hub_client.py MODEL_FOLDER

The hub is the one of the tests, `hub_server`. The client of Python makes a repository, uploads the model folder with one large
file more, first by git's protocol for large files and then in chunks, by xet; lists, tags, searches and downloads it by
revision. Each program reads what the other one has put there, and what it has left in the cache, where neither may make a
request; and what sconce has signed is verified by the definition of minisign's format, with another implementation of Ed25519.
"""
import argparse
import base64
import filecmp
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCONCE = os.environ.get("SCONCE", ROOT / "target/release/sconce")
SERVER = os.environ.get("HUB_SERVER", ROOT / "target/release/examples/hub_server")
TOKEN = "token-of-the-owner"
# More than the hub takes without asking for another way.
LARGE = 12_000_000


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path, help="a model folder that sconce has packed")
    model = parser.parse_args().model.resolve()
    work = Path(tempfile.mkdtemp())
    address = work / "address"
    server = subprocess.Popen([SERVER, "--xet", "--address-file", address, "--user", f"{TOKEN}=owner"],
                              stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if address.exists():
                break
            time.sleep(0.1)
        # The client reads its environment once, where it is imported.
        for way, more in [("git-lfs", {"HF_HUB_DISABLE_XET": "1"}), ("xet", {})]:
            place = work / way
            place.mkdir()
            environment = {**os.environ, "HF_ENDPOINT": address.read_text(), "HF_TOKEN": TOKEN, "HF_HOME": str(place / "hf"),
                           "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", **more}
            for name in ["HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN_PATH"]:
                environment.pop(name, None)
            subprocess.run([sys.executable, __file__, str(model), "--", way, str(place)], env=environment, check=True)
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(work, ignore_errors=True)
    print(f"huggingface_hub {version('huggingface_hub')} and sconce agree")


def sconce(*arguments, offline=False):
    """What the program prints, as it reads it itself."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1" if offline else "0"}
    ran = subprocess.run([SCONCE, *map(str, arguments), "--format", "json"], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, (arguments, ran.stderr)
    assert TOKEN not in ran.stdout + ran.stderr
    return json.loads(ran.stdout)


def files(folder):
    """The files below a folder, but for what a hub adds."""
    found = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return sorted(str(path) for path in found if path.parts[0] not in (".gitattributes", ".cache"))


def same(one, other):
    assert files(one) == files(other), (files(one), files(other))
    _, different, wrong = filecmp.cmpfiles(one, other, files(one), shallow=False)
    assert not different and not wrong, (different, wrong)


def check(model, way, place):
    """Everything, with large files going this way."""
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    assert constants.HF_HUB_DISABLE_XET == (way == "git-lfs")
    api = HfApi()
    assert api.whoami()["name"] == "owner"
    folder = place / "model"
    shutil.copytree(model, folder)
    name = f"owner/python-{way}"

    # From Python, there and back.
    api.create_repo(name, private=True)
    api.create_repo(name, private=True, exist_ok=True)
    first = api.upload_folder(repo_id=name, folder_path=folder, commit_message="the first")
    large = folder / "large.bin"
    large.write_bytes(hashlib.shake_256(way.encode()).digest(LARGE))
    second = api.upload_file(repo_id=name, path_or_fileobj=large, path_in_repo="large.bin")
    api.create_tag(name, tag="v1", revision=first.oid)
    refs = api.list_repo_refs(name)
    assert {ref.name: ref.target_commit for ref in refs.branches + refs.tags} == {"main": second.oid, "v1": first.oid}
    assert [commit.commit_id for commit in api.list_repo_commits(name)][:2] == [second.oid, first.oid]
    assert sorted(set(api.list_repo_files(name)) - {".gitattributes"}) == files(folder)
    entries = {entry.path: entry for entry in api.list_repo_tree(name, recursive=True)}
    assert entries["large.bin"].lfs.sha256 == hashlib.sha256(large.read_bytes()).hexdigest()
    assert bool(entries["large.bin"].xet_hash) == (way == "xet"), entries["large.bin"]
    same(Path(snapshot_download(name, cache_dir=place / "other")), folder)
    large.unlink()
    same(Path(snapshot_download(name, revision="v1", cache_dir=place / "other")), folder)

    # The same for sconce, which leaves what is no part of the model.
    pulled = sconce("zoo", "pull", f"hub:{name}@v1", "--output", place / "pulled")
    assert pulled["commit"] == first.oid
    same(place / "pulled", folder)
    assert sconce("zoo", "verify", f"hub:{name}", "--device", "cpu")[0]["golden"]["compared"]

    # From sconce, for Python.
    mine = f"owner/sconce-{way}"
    pushed = sconce("zoo", "push", folder, f"hub:{mine}", "--private", "--tag", "v1", "--message", "from sconce")
    assert pushed["created"] and sorted(pushed["files"]) == files(folder)
    assert sconce("zoo", "push", folder, f"hub:{mine}")["commit"] == pushed["commit"]
    same(Path(snapshot_download(mine, revision="v1", cache_dir=place / "other")), folder)
    assert api.model_info(mine, revision="v1").sha == pushed["commit"]
    assert [commit.title for commit in api.list_repo_commits(mine)][0] == "from sconce"
    weights = {entry.path: entry for entry in api.list_repo_tree(mine)}["model.safetensors"]
    assert weights.xet_hash, "large files of sconce go in chunks"

    # One cache for both: what either has fetched, the other finds without a request.
    sconce("zoo", "pull", f"hub:{mine}")
    same(Path(snapshot_download(mine, local_files_only=True)), folder)
    theirs = Path(snapshot_download(name, revision="v1"))
    sconce("zoo", "verify", f"hub:{name}@v1", "--device", "cpu", offline=True)
    shown = sconce("zoo", "show", f"hub:{name}@v1", offline=True)
    assert Path(shown["folder"]) == theirs, (shown["folder"], theirs)

    # Both find the same.
    found = {model.id for model in api.list_models(search="PYTHON", filter="sconce")}
    assert found == {model["id"] for model in sconce("zoo", "search", "PYTHON")} and name in found

    # Both are refused the same.
    for token, error in [(False, RepositoryNotFoundError)]:
        try:
            HfApi(token=token).model_info(name)
        except error:
            continue
        raise AssertionError("a private repository was shown to a stranger")
    try:
        api.model_info(name, revision="v9")
    except RevisionNotFoundError:
        pass
    else:
        raise AssertionError("there is no v9")

    # Python's client finds nothing where sconce has removed it.
    sconce("zoo", "rm", f"hub:{name}@v1", offline=True)
    assert not theirs.exists()
    signed(folder, place)
    print(f"{way}: ok")


def signed(folder, place):
    """A signature, by the definition at https://jedisct1.github.io/minisign/."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = place / "key"
    made = sconce("zoo", "keygen", key)
    sconce("zoo", "sign", folder, "--key", key)
    sconce("zoo", "verify", folder, "--signature", made["key"], "--device", "cpu")
    raw = base64.b64decode((place / "key.pub").read_text().splitlines()[1])
    assert raw[:2] == b"Ed" and base64.b64decode(made["key"]) == raw
    public = Ed25519PublicKey.from_public_bytes(raw[10:])
    lines = (folder / "SHA256SUMS.minisig").read_text().splitlines()
    signature = base64.b64decode(lines[1])
    assert signature[:2] == b"ED" and signature[2:10] == raw[2:10]
    public.verify(signature[10:], hashlib.blake2b((folder / "SHA256SUMS").read_bytes()).digest())
    comment = lines[2].removeprefix("trusted comment: ").encode()
    public.verify(base64.b64decode(lines[3]), signature[10:] + comment)


if __name__ == "__main__":
    if "--" in sys.argv:
        check(Path(sys.argv[1]), sys.argv[3], Path(sys.argv[4]))
    else:
        main()
