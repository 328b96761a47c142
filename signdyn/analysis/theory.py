r"""What theory predicts, to be drawn beside what is measured.

* Conditioning: the outlier that a mean puts into a second-moment matrix, and what a bias adds.
* Mean-field theory: the Fisher of a random network, for any activation, and its critical rate.
* Signs: how often two weights of a unit move the same way, and what chance alone would do.
* Null modes: how many eigenvalues of a Fisher are exactly zero, and why.

Closed forms broadcast over arrays, follow the dtype of their arguments, and work under ``jit`` and
``vmap``; counts and mean-field predictions are Python numbers. Each theory has
a private module of its own; import it from here.
"""

from signdyn.analysis._chance import null_coherence as null_coherence
from signdyn.analysis._chance import null_majority as null_majority
from signdyn.analysis._chance import null_unanimity as null_unanimity
from signdyn.analysis._chance import null_weighted_coherence as null_weighted_coherence
from signdyn.analysis._conditioning import SpikedCovariance as SpikedCovariance
from signdyn.analysis._conditioning import bias_conditioning as bias_conditioning
from signdyn.analysis._conditioning import critical_learning_rate as critical_learning_rate
from signdyn.analysis._conditioning import spiked_covariance as spiked_covariance
from signdyn.analysis._mean_field import FisherStatistics as FisherStatistics
from signdyn.analysis._mean_field import MeanFieldFisher as MeanFieldFisher
from signdyn.analysis._mean_field import MeanFieldLayers as MeanFieldLayers
from signdyn.analysis._mean_field import mean_field_fisher as mean_field_fisher
from signdyn.analysis._mean_field import mean_field_layers as mean_field_layers
from signdyn.analysis._null_modes import linear_null_modes as linear_null_modes
from signdyn.analysis._null_modes import scaling_null_modes as scaling_null_modes
from signdyn.analysis._null_modes import softmax_null_modes as softmax_null_modes
from signdyn.analysis._sign_laws import batch_sign_agreement as batch_sign_agreement
from signdyn.analysis._sign_laws import equicorrelated_cosine as equicorrelated_cosine
from signdyn.analysis._sign_laws import gaussian_unanimity as gaussian_unanimity
from signdyn.analysis._sign_laws import iid_cosine as iid_cosine
from signdyn.analysis._sign_laws import mean_sign_agreement as mean_sign_agreement
from signdyn.analysis._sign_laws import sign_agreement as sign_agreement
from signdyn.types import Real as Real
from signdyn.types import Reals as Reals
