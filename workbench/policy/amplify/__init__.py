"""Amplification policies: how far beyond what was asked a request reaches. One small file each.

All are for plan `exact`; plan `reference` has nydusd's own, of which `fixed` gives the size.
"""

from workbench.policy.amplify._adaptive import adaptive
from workbench.policy.amplify._fixed import fixed
from workbench.policy.amplify._none import none
from workbench.policy.amplify._profile import profile
from workbench.policy.amplify._reference import reference

__all__ = ["adaptive", "fixed", "none", "profile", "reference"]
