//! Randomness comes in through [`Seeds`]: one seed per process, one independent stream per name.
//!
//! Invariant: the same seed and name give the same numbers on every machine, whatever else draws from other names.

use rand::SeedableRng;
use rand::TryRngCore;
use sha2::{Digest, Sha256};

/// A stream of random numbers; use it through `rand::Rng`. Not for keys and tokens: see [`crate::http::auth::generate`].
pub type Rng = rand_chacha::ChaCha8Rng;

/// The seed of a process, from which named streams are drawn. A cheap handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds {
    seed: u64,
    path: String,
}

impl Seeds {
    /// A known seed: the same run again.
    pub fn fixed(seed: u64) -> Self {
        Seeds { seed, path: String::new() }
    }

    /// A seed from the operating system, to be logged so that the run can be repeated.
    ///
    /// # Panics
    /// When the operating system has no randomness to give: nothing that follows could be trusted.
    pub fn from_entropy() -> Self {
        let seed = rand::rngs::OsRng.try_next_u64().expect("the operating system gives random numbers");
        Seeds::fixed(seed)
    }

    /// The seed itself, for the log line of the start.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The stream called `name`. Asking twice gives the same numbers twice: name each use.
    pub fn stream(&self, name: &str) -> Rng {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_be_bytes());
        hash.update(self.path.as_bytes());
        hash.update([0]);
        hash.update(name.as_bytes());
        Rng::from_seed(hash.finalize().into())
    }

    /// Seeds for a part (a component, an adapter): its names do not meet those of other parts.
    pub fn child(&self, name: &str) -> Seeds {
        Seeds { seed: self.seed, path: format!("{}{name}/", self.path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng as _;

    #[test]
    fn the_same_seed_and_name_give_the_same_numbers() {
        let draw = |seeds: &Seeds, name: &str| seeds.stream(name).random::<u64>();
        assert_eq!(draw(&Seeds::fixed(7), "arrivals"), draw(&Seeds::fixed(7), "arrivals"));
        assert_ne!(draw(&Seeds::fixed(7), "arrivals"), draw(&Seeds::fixed(8), "arrivals"));
        assert_ne!(draw(&Seeds::fixed(7), "arrivals"), draw(&Seeds::fixed(7), "patience"));
        assert_ne!(draw(&Seeds::fixed(7), "a"), draw(&Seeds::fixed(7).child("x"), "a"));
    }

    #[test]
    fn a_stream_is_the_same_on_every_machine() {
        // Written down once: a change of this number breaks every recorded simulation.
        assert_eq!(Seeds::fixed(42).child("simulator").stream("arrivals").random::<u64>(), 8_062_392_116_613_623_570);
    }
}
