"""The handler for Node.js, bundled as people deploy it."""

import os
import pathlib
import shutil
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
MANIFEST = HERE / "package.json"


def bundle(folder):
    """Installs what the handler imports into `folder`, anew when package.json has changed, and makes the bundle there."""
    for program in ("node", "npm"):
        if not shutil.which(program):
            raise SystemExit(f"missing: {program}; on Debian or Ubuntu: apt-get install -y nodejs npm")
    folder.mkdir(parents=True, exist_ok=True)
    installed = folder / "installed.json"
    if not installed.exists() or installed.read_text() != MANIFEST.read_text():
        shutil.copy(MANIFEST, folder / "package.json")
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True)
        shutil.copy(MANIFEST, installed)
    made = folder / "bundle.js"
    subprocess.run(
        [
            *(folder / "node_modules/.bin/esbuild", HERE / "runtime.mjs", "--bundle", "--minify", "--platform=node"),
            *("--target=node20", "--loader:.sql=text", "--log-level=warning", f"--outfile={made}"),
        ],
        env={**os.environ, "NODE_PATH": str(folder / "node_modules")},
        check=True,
    )
    return made
