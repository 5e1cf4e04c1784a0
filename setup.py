"""What pyproject.toml cannot say: files of the checkout's root that a wheel takes into the package.

The app's settings and theme stand in `.streamlit`, where `streamlit run app.py` looks for them, and
the demo networks in `checkpoints`. Installed, both lie where the package looks for them.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

TAKEN = {
    ".streamlit/config.toml": "cbam_viz/ui/packaged/.streamlit",
    "checkpoints/*": "cbam_viz/checkpoints",
}
"""Files by pattern, and their folder in the wheel."""


class BuildWithRootFiles(build_py):
    """Build the package as always, then add the files; an editable install finds them in place."""

    def run(self) -> None:
        """Raise FileNotFoundError where a pattern finds nothing: the wheel would be incomplete."""
        super().run()
        if self.editable_mode:
            return
        for pattern, folder in TAKEN.items():
            files = sorted(Path().glob(pattern))
            if not files:
                raise FileNotFoundError(f"There is no {pattern}, which belongs into the wheel.")
            target = Path(self.build_lib, folder)
            target.mkdir(parents=True, exist_ok=True)
            for file in files:
                self.copy_file(str(file), str(target / file.name))


setup(cmdclass={"build_py": BuildWithRootFiles})
