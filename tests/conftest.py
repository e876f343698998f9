"""Triton decides when it is imported whether kernels are compiled or interpreted.

The tests need no GPU: they interpret, unless the environment says otherwise before pytest starts. Set here, where no
test module has been imported yet, because one that imports triton first would decide for all the others.
"""

import os

os.environ.setdefault("TRITON_INTERPRET", "1")
