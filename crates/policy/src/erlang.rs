//! Queues in the long run: Erlang-B and Erlang-A.
//!
//! Source: the Erlang-B recursion and Palm's formula for M/M/n+M as Mandelbaum and Zeltyn write it, "Service Engineering in Action: The
//! Palm/Erlang-A Queue" (2007). Rates are per second, times are seconds. Checked against a brute-force birth–death chain in the tests.

/// The share of calls that `servers` without a waiting room turn away when the offered load is `load` Erlangs. A fraction of a server
/// lies on the line between its neighbours.
pub fn erlang_b(load: f64, servers: f64) -> f64 {
    let whole = servers.max(0.0).floor();
    let step = |blocked: f64, k: f64| load * blocked / (k + load * blocked);
    let below = (1..=whole as u64).fold(1.0, |blocked, k| step(blocked, k as f64));
    let part = servers.max(0.0) - whole;
    if part == 0.0 { below } else { below + part * (step(below, whole + 1.0) - below) }
}

/// One queue with `agents` who each serve `service_per_s`, callers who come at `arrivals_per_s` and lose patience at `patience_per_s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErlangA {
    /// λ, calls per second.
    pub arrivals_per_s: f64,
    /// n, effective agents: a fraction counts in part.
    pub agents: f64,
    /// μ = 1/AHT, calls per second and agent.
    pub service_per_s: f64,
    /// θ, departures without service per second and waiting caller; 0 is endless patience.
    pub patience_per_s: f64,
}

/// Steps of an integral over the wait; even, for Simpson's rule.
const STEPS: usize = 400;
/// Terms of a series at most: reached only by rates that differ by more than six orders of magnitude.
const TERMS: u64 = 2_000_000;

impl ErlangA {
    /// nμ, calls per second.
    pub fn capacity_per_s(&self) -> f64 {
        self.agents * self.service_per_s
    }

    /// ρ = λ/(nμ).
    pub fn utilisation(&self) -> f64 {
        self.arrivals_per_s / self.capacity_per_s()
    }

    /// Whether there is a long run at all: with endless patience a queue above its capacity grows for ever.
    pub fn is_stable(&self) -> bool {
        self.patience_per_s > 0.0 || self.utilisation() < 1.0
    }

    /// The logarithm of A(x, y) = 1 + Σ y^j / Π (x+i) with x = nμ/θ, y = λ/θ, written so that θ may be 0: far above capacity A itself is
    /// beyond any number.
    fn log_series(&self) -> f64 {
        const HUGE: f64 = 1e200;
        let (mut sum, mut term, mut log_scale) = (1.0f64, 1.0f64, 0.0f64);
        for j in 1..TERMS {
            let ratio = self.arrivals_per_s / (self.capacity_per_s() + j as f64 * self.patience_per_s);
            term *= ratio;
            sum += term;
            if sum > HUGE {
                sum /= HUGE;
                term /= HUGE;
                log_scale += HUGE.ln();
            }
            if ratio < 1.0 && term < sum * 1e-14 {
                break;
            }
        }
        log_scale + sum.ln()
    }

    /// The share of callers who find nobody free. 1 when the queue grows for ever.
    pub fn p_wait(&self) -> f64 {
        if self.capacity_per_s() <= 0.0 || !self.is_stable() {
            return 1.0;
        }
        let blocked = erlang_b(self.arrivals_per_s / self.service_per_s, self.agents);
        // A·B / (1 + (A−1)·B), divided by A
        let inverse = (-self.log_series()).exp();
        blocked / (inverse + (1.0 - inverse) * blocked)
    }

    /// The share of those who wait that leave without service.
    pub fn p_abandon_of_waiting(&self) -> f64 {
        if self.capacity_per_s() <= 0.0 {
            return if self.patience_per_s > 0.0 { 1.0 } else { 0.0 };
        }
        if self.patience_per_s == 0.0 || self.arrivals_per_s <= 0.0 {
            return 0.0;
        }
        let rho = self.utilisation();
        ((-self.log_series()).exp() / rho + 1.0 - 1.0 / rho).clamp(0.0, 1.0)
    }

    /// The share of all callers who leave without service.
    pub fn p_abandon(&self) -> f64 {
        self.p_wait() * self.p_abandon_of_waiting()
    }

    /// The mean time in the queue of all callers, those who leave included, seconds. Infinite when the queue grows for ever.
    pub fn wait_mean_s(&self) -> f64 {
        if self.patience_per_s > 0.0 {
            self.p_abandon() / self.patience_per_s
        } else if self.is_stable() {
            self.p_wait() / (self.capacity_per_s() - self.arrivals_per_s)
        } else {
            f64::INFINITY
        }
    }

    /// The share of all callers who are served within `within_s`: the service level with abandoned callers in the denominator.
    ///
    /// The wait offered to an endlessly patient caller has on (0, ∞) a density in proportion to g(t) = exp(λ(1−e^{−θt})/θ − nμt)
    /// (Mandelbaum and Zeltyn, section 4); such a caller is served if their patience outlasts it.
    pub fn served_within(&self, within_s: f64) -> f64 {
        if self.capacity_per_s() <= 0.0 || !self.is_stable() {
            return 0.0;
        }
        let (lambda, theta, capacity) = (self.arrivals_per_s, self.patience_per_s, self.capacity_per_s());
        let log_g = |t: f64| {
            let patient = if theta > 0.0 { -(-theta * t).exp_m1() / theta } else { t };
            lambda * patient - capacity * t
        };
        // the whole integral of g is A/(nμ)
        let log_whole = self.log_series() - capacity.ln();
        let served = simpson(0.0, within_s, |t| (log_g(t) - theta * t - log_whole).exp());
        let p_wait = self.p_wait();
        1.0 - p_wait + p_wait * served
    }

    /// λ*: the most calls per second of which `share` are still served within `within_s`; 0 when not even one can be.
    pub fn arrivals_for(&self, share: f64, within_s: f64) -> f64 {
        let holds = |rate: f64| ErlangA { arrivals_per_s: rate, ..*self }.served_within(within_s) >= share;
        let (mut low, mut high) = (0.0, self.capacity_per_s().max(1e-9));
        while holds(high) && high < 1e6 {
            (low, high) = (high, high * 2.0);
        }
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if holds(middle) { low = middle } else { high = middle }
        }
        low
    }
}

/// Simpson's rule.
fn simpson(from: f64, to: f64, f: impl Fn(f64) -> f64) -> f64 {
    let width = (to - from) / STEPS as f64;
    if width <= 0.0 {
        return 0.0;
    }
    let weight = |step: usize| match step {
        0 | STEPS => 1.0,
        odd if odd % 2 == 1 => 4.0,
        _ => 2.0,
    };
    (0..=STEPS).map(|step| weight(step) * f(from + step as f64 * width)).sum::<f64>() * width / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same queue as a chain of states, solved by brute force; no formula of above.
    struct Chain {
        model: ErlangA,
        share_of_state: Vec<f64>,
    }

    impl Chain {
        fn of(model: ErlangA) -> Chain {
            let n = model.agents as usize;
            let leaves = |state: usize| {
                state.min(n) as f64 * model.service_per_s + state.saturating_sub(n) as f64 * model.patience_per_s
            };
            let mut shares = vec![1.0f64];
            let mut total = 1.0;
            for state in 1..60_000 {
                let next = shares[state - 1] * model.arrivals_per_s / leaves(state);
                shares.push(next);
                total += next;
                if total > 1e200 {
                    shares.iter_mut().for_each(|share| *share /= total);
                    total = 1.0;
                }
                if state > n && next < total * 1e-18 {
                    break;
                }
            }
            shares.iter_mut().for_each(|share| *share /= total);
            Chain { model, share_of_state: shares }
        }

        fn p_wait(&self) -> f64 {
            self.share_of_state.iter().skip(self.model.agents as usize).sum()
        }

        fn waiting_mean(&self) -> f64 {
            let queue = self.share_of_state.iter().skip(self.model.agents as usize);
            queue.enumerate().map(|(waiting, share)| waiting as f64 * share).sum()
        }

        /// Who arrives to `ahead` waiting callers: their chance to be served within `within_s`, by stepping time.
        fn served_within(&self, within_s: f64) -> f64 {
            let n = self.model.agents as usize;
            let p_free: f64 = self.share_of_state.iter().take(n).sum();
            let steps = 20_000;
            let dt = within_s / steps as f64;
            // at[i]: chance that the caller still waits with i ahead
            let mut at: Vec<f64> = self.share_of_state.iter().skip(n).copied().collect();
            let mut served = 0.0;
            for _ in 0..steps {
                for ahead in 0..at.len() {
                    let (from, theta) = (at[ahead], self.model.patience_per_s);
                    let moves = self.model.capacity_per_s() + ahead as f64 * theta;
                    let stays = (-(moves + theta) * dt).exp();
                    let forward = from * (1.0 - stays) * moves / (moves + theta);
                    at[ahead] = from * stays;
                    if ahead == 0 { served += forward } else { at[ahead - 1] += forward }
                }
            }
            p_free + served
        }
    }

    fn queues() -> impl Iterator<Item = ErlangA> {
        let loads = [0.3, 0.8, 0.95, 1.0, 1.3, 3.0];
        let sizes = [(1.0, 60.0, 30.0), (7.0, 180.0, 120.0), (100.0, 180.0, 120.0), (40.0, 300.0, 900.0)];
        sizes.into_iter().flat_map(move |(agents, aht, patience)| {
            loads.into_iter().map(move |load| ErlangA {
                arrivals_per_s: load * agents / aht,
                agents,
                service_per_s: 1.0 / aht,
                patience_per_s: 1.0 / patience,
            })
        })
    }

    fn close(ours: f64, theirs: f64, tolerance: f64, of: &ErlangA) {
        assert!((ours - theirs).abs() <= tolerance * (1.0 + theirs.abs()), "{ours} instead of {theirs}: {of:?}");
    }

    #[test]
    fn erlang_a_is_what_the_chain_says() {
        for queue in queues() {
            let chain = Chain::of(queue);
            close(queue.p_wait(), chain.p_wait(), 1e-9, &queue);
            let waiting = chain.waiting_mean();
            close(queue.p_abandon(), waiting * queue.patience_per_s / queue.arrivals_per_s, 1e-9, &queue);
            close(queue.wait_mean_s(), waiting / queue.arrivals_per_s, 1e-9, &queue);
        }
    }

    #[test]
    fn the_service_level_is_what_the_chain_says() {
        for queue in queues().filter(|queue| queue.agents < 50.0) {
            close(queue.served_within(20.0), Chain::of(queue).served_within(20.0), 2e-3, &queue);
        }
    }

    #[test]
    fn with_endless_patience_erlang_a_is_erlang_c() {
        let queue =
            ErlangA { arrivals_per_s: 8.0 / 180.0, agents: 10.0, service_per_s: 1.0 / 180.0, patience_per_s: 0.0 };
        let blocked = erlang_b(8.0, 10.0);
        let erlang_c = blocked / (1.0 - 0.8 * (1.0 - blocked));
        close(queue.p_wait(), erlang_c, 1e-12, &queue);
        close(queue.wait_mean_s(), erlang_c * 180.0 / 2.0, 1e-9, &queue);
        close(queue.served_within(20.0), 1.0 - erlang_c * (-2.0 * 20.0 / 180.0f64).exp(), 1e-9, &queue);
        let flooded = ErlangA { arrivals_per_s: 11.0 / 180.0, ..queue };
        assert_eq!((flooded.p_wait(), flooded.served_within(20.0)), (1.0, 0.0));
        assert!(flooded.wait_mean_s().is_infinite());
    }

    #[test]
    fn the_rate_that_still_meets_the_goal_meets_it_and_a_little_more_does_not() {
        for queue in queues() {
            let rate = queue.arrivals_for(0.8, 20.0);
            let level = |rate| ErlangA { arrivals_per_s: rate, ..queue }.served_within(20.0);
            assert!(level(rate) >= 0.8 && level(rate * 1.001) < 0.8, "{rate} of {queue:?}");
        }
    }

    #[test]
    fn nobody_at_work_serves_nobody() {
        let empty = ErlangA { arrivals_per_s: 1.0, agents: 0.0, service_per_s: 0.01, patience_per_s: 0.01 };
        assert_eq!((empty.p_wait(), empty.p_abandon(), empty.served_within(20.0)), (1.0, 1.0, 0.0));
        assert_eq!(empty.arrivals_for(0.8, 20.0), 0.0);
    }

    #[test]
    fn a_fraction_of_an_agent_lies_between_its_neighbours() {
        let (five, half, six) = (erlang_b(5.0, 5.0), erlang_b(5.0, 5.5), erlang_b(5.0, 6.0));
        assert!(six < half && half < five);
    }
}
