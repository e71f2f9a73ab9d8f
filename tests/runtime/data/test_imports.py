from __future__ import annotations

import subprocess
import sys


def test_importing_the_package_imports_no_heavy_library() -> None:
    program = (
        "import sys, alignc.runtime.data\n"
        "print(*[name for name in ('torch', 'transformers', 'datasets', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
