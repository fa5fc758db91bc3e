//! A simulated world: many processes in one thread, on a time that only moves when nothing can run, in an order drawn from a seed.
//!
//! A [`Place`] is a simulated process (or host): it has a [`Clock`], and whatever is started through [`crate::Tasks`] on that clock
//! runs there. A place can be crashed (everything it runs is gone, at whatever await point it stood), stopped for a while, and its
//! wall clock can be wrong.
//!
//! **Is not** a network or a disk: whoever simulates builds those of sleeps and channels, and so decides what can go wrong. It
//! drives no sockets, no threads and no blocking work.
//!
//! Invariant: the same seed and the same program give the same run, step by step. Who is next among those who can run is drawn from
//! the seed, not taken in turn, so that each seed is another interleaving. (What is polled together in one task must be polled in
//! order: `select!` with `biased`.)
//! Invariant: one thread; nothing of a world runs but inside [`World::run`].

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use rand::Rng as _;

use crate::{Clock, Rng, Seeds};

/// What one step of a task takes at most, in simulated time.
const STEP_MAX: Duration = Duration::from_micros(20);

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The simulated world.
pub struct World(Arc<Core>);

/// A simulated process. A cheap handle.
#[derive(Clone)]
pub struct Place {
    core: Arc<Core>,
    index: usize,
}

struct Core {
    state: Mutex<State>,
    rung: Arc<Mutex<Vec<u64>>>,
}

struct State {
    start_ms: i64,
    now: Duration,
    steps: u64,
    order: Rng,
    places: Vec<Standing>,
    tasks: BTreeMap<u64, Task>,
    next_task: u64,
    sleepers: BTreeMap<(Duration, u64), Waker>,
    next_sleeper: u64,
}

#[derive(Default)]
struct Standing {
    name: String,
    skew_ms: i64,
    stopped: bool,
    /// Tasks that could run if the place were not stopped.
    held: Vec<u64>,
}

struct Task {
    place: usize,
    /// Not here while it runs.
    work: Option<Work>,
    bell: Arc<Bell>,
    given_up: bool,
}

/// Wakes one task.
struct Bell {
    task: u64,
    rung: AtomicBool,
    queue: Arc<Mutex<Vec<u64>>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::Relaxed) {
            lock(&self.queue).push(self.task);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// An empty world at `start_ms` (Unix milliseconds), whose order is drawn from `seeds`.
    pub fn new(seeds: &Seeds, start_ms: i64) -> World {
        let state = State {
            start_ms,
            now: Duration::ZERO,
            steps: 0,
            order: seeds.stream("order of steps"),
            places: Vec::new(),
            tasks: BTreeMap::new(),
            next_task: 0,
            sleepers: BTreeMap::new(),
            next_sleeper: 0,
        };
        World(Arc::new(Core { state: Mutex::new(state), rung: Arc::default() }))
    }

    /// A new process.
    pub fn place(&self, name: impl Into<String>) -> Place {
        let mut state = lock(&self.0.state);
        state.places.push(Standing { name: name.into(), ..Standing::default() });
        Place { core: Arc::clone(&self.0), index: state.places.len() - 1 }
    }

    /// Runs the world until `main`, which runs at `place`, is over; then drops everything that still runs.
    ///
    /// # Panics
    /// When nothing can happen any more and `main` still waits. A panic of `main` goes through.
    pub fn run<T: Send + 'static>(self, place: &Place, main: impl Future<Output = T> + Send + 'static) -> T {
        let outcome = Arc::new(Mutex::new(None));
        let told = Arc::clone(&outcome);
        place.spawn(async move {
            let value = main.await;
            *lock(&told) = Some(value);
        });
        loop {
            self.0.step();
            if let Some(value) = lock(&outcome).take() {
                return value;
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Tasks hold the world through their clocks: the circle is cut here.
        let tasks = std::mem::take(&mut lock(&self.0.state).tasks);
        drop(tasks);
        lock(&self.0.state).sleepers.clear();
    }
}

impl Place {
    /// The clock of this process.
    pub fn clock(&self) -> Clock {
        Clock::simulated(self.clone())
    }

    /// Its name.
    pub fn name(&self) -> String {
        lock(&self.core.state).places[self.index].name.clone()
    }

    /// How many steps the world has taken: with the time, the exact moment of a run.
    pub fn steps(&self) -> u64 {
        lock(&self.core.state).steps
    }

    /// Everything that runs here is gone, where it stands. What was dropped with it can still be heard of elsewhere (a closed
    /// channel), as after the death of a process.
    pub fn crash(&self) {
        let mut state = lock(&self.core.state);
        let ids: Vec<u64> =
            state.tasks.iter().filter(|(_, task)| task.place == self.index).map(|(id, _)| *id).collect();
        let gone: Vec<Task> = ids.iter().filter_map(|id| state.tasks.remove(id)).collect();
        let standing = &mut state.places[self.index];
        standing.held.clear();
        standing.stopped = false;
        drop(state);
        drop(gone);
    }

    /// Nothing runs here until [`Place::go_on`], as under SIGSTOP; time and the others go on.
    pub fn stop(&self) {
        lock(&self.core.state).places[self.index].stopped = true;
    }

    /// Ends a [`Place::stop`].
    pub fn go_on(&self) {
        let mut state = lock(&self.core.state);
        state.places[self.index].stopped = false;
        let held = std::mem::take(&mut state.places[self.index].held);
        lock(&self.core.rung).extend(held);
    }

    /// Moves the wall clock of this process by so many milliseconds, forth or back. Waits are not touched.
    pub fn jump(&self, by_ms: i64) {
        lock(&self.core.state).places[self.index].skew_ms += by_ms;
    }

    pub(crate) fn now_ms(&self) -> i64 {
        let state = lock(&self.core.state);
        let passed = i64::try_from(state.now.as_millis()).unwrap_or(i64::MAX);
        state.start_ms.saturating_add(passed).saturating_add(state.places[self.index].skew_ms)
    }

    pub(crate) fn monotonic(&self) -> Duration {
        lock(&self.core.state).now
    }

    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        let at = self.monotonic().saturating_add(duration);
        Sleep { core: Arc::clone(&self.core), at, key: None }
    }

    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Handle {
        let mut state = lock(&self.core.state);
        let id = state.next_task;
        state.next_task += 1;
        let bell = Arc::new(Bell { task: id, rung: AtomicBool::new(true), queue: Arc::clone(&self.core.rung) });
        lock(&self.core.rung).push(id);
        let task = Task { place: self.index, work: Some(Box::pin(work)), bell, given_up: false };
        state.tasks.insert(id, task);
        Handle { core: Arc::clone(&self.core), task: id }
    }
}

impl Core {
    /// One step of one task; or, when none can run, the time moves to the next sleeper.
    fn step(&self) {
        let Some((id, place, work, bell)) = self.pick() else { return };
        bell.rung.store(false, Ordering::Relaxed);
        let mut work = work;
        let over = work.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&bell)))).is_ready();
        let mut state = lock(&self.state);
        let gone = match state.tasks.get_mut(&id) {
            // It was crashed or given up by its own doing, or is over.
            None => Some(work),
            Some(task) if over || task.given_up => {
                state.tasks.remove(&id);
                Some(work)
            }
            Some(task) => {
                debug_assert_eq!(task.place, place);
                task.work = Some(work);
                None
            }
        };
        drop(state);
        drop(gone);
    }

    /// Draws one of those that can run.
    fn pick(&self) -> Option<(u64, usize, Work, Arc<Bell>)> {
        let mut state = lock(&self.state);
        let took = state.order.random_range(Duration::ZERO..=STEP_MAX);
        state.now += took;
        self.wake_sleepers(&mut state);
        loop {
            let mut rung = lock(&self.rung);
            if rung.is_empty() {
                drop(rung);
                let next = state.sleepers.first_key_value().map(|((at, _), _)| *at);
                let at = next.expect("nothing can happen any more: every task waits for another");
                state.now = state.now.max(at);
                self.wake_sleepers(&mut state);
                continue;
            }
            // In the order of their numbers: who was woken first is not always the same (a tokio watch draws lots for it).
            rung.sort_unstable();
            let which = state.order.random_range(0..rung.len());
            let id = rung.remove(which);
            drop(rung);
            let Some(task) = state.tasks.get_mut(&id) else { continue };
            if task.given_up {
                let gone = state.tasks.remove(&id);
                drop(state);
                drop(gone);
                return None;
            }
            let place = task.place;
            if state.places[place].stopped {
                state.places[place].held.push(id);
                continue;
            }
            state.steps += 1;
            let task = state.tasks.get_mut(&id)?;
            return Some((id, place, task.work.take()?, Arc::clone(&task.bell)));
        }
    }

    fn wake_sleepers(&self, state: &mut State) {
        while let Some(entry) = state.sleepers.first_entry().filter(|entry| entry.key().0 <= state.now) {
            entry.remove().wake();
        }
    }
}

/// A running task of a world.
#[derive(Clone)]
pub(crate) struct Handle {
    core: Arc<Core>,
    task: u64,
}

impl Handle {
    /// Drops it when its turn comes.
    pub(crate) fn abort(&self) {
        let mut state = lock(&self.core.state);
        if let Some(task) = state.tasks.get_mut(&self.task) {
            task.given_up = true;
            task.bell.wake_by_ref();
        }
    }
}

/// A wait.
pub(crate) struct Sleep {
    core: Arc<Core>,
    at: Duration,
    key: Option<(Duration, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let core = Arc::clone(&self.core);
        let mut state = lock(&core.state);
        if state.now >= self.at {
            if let Some(key) = self.key.take() {
                state.sleepers.remove(&key);
            }
            return Poll::Ready(());
        }
        let key = match self.key {
            Some(key) => key,
            None => {
                state.next_sleeper += 1;
                (self.at, state.next_sleeper)
            }
        };
        state.sleepers.insert(key, context.waker().clone());
        drop(state);
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = lock(&self.core.state).sleepers.remove(&key);
            drop(waker);
        }
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = lock(&self.0.state);
        write!(f, "World(at {:?}, {} steps, {} tasks)", state.now, state.steps, state.tasks.len())
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Place({})", self.name())
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handle({})", self.task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Drain, Tasks};

    type Story = Arc<Mutex<Vec<(u128, String)>>>;

    /// Three tasks at two places that wait, hand over and tell.
    fn told(seed: u64) -> Vec<(u128, String)> {
        let world = World::new(&Seeds::fixed(seed), 1_000);
        let (one, two) = (world.place("one"), world.place("two"));
        let story = Story::default();
        let tasks = Tasks::new("test", 9, one.clock(), Drain::new());
        for n in 0..3 {
            let (clock, story) = (one.clock(), Arc::clone(&story));
            let work = async move {
                for turn in 0..4 {
                    clock.sleep(Duration::from_millis(10)).await;
                    tokio::task::yield_now().await;
                    lock(&story).push((clock.monotonic().as_micros(), format!("{n}.{turn}")));
                }
            };
            tasks.spawn(format!("{n}"), work).unwrap();
        }
        world.run(&two, async move { tasks.idle().await });
        std::mem::take(&mut *lock(&story))
    }

    #[test]
    fn the_same_seed_is_the_same_run_and_another_seed_is_another() {
        assert_eq!(told(1), told(1));
        let orders: std::collections::BTreeSet<Vec<String>> =
            (0..20).map(|seed| told(seed).into_iter().map(|(_, what)| what).collect()).collect();
        assert!(orders.len() > 10, "{} orders in 20 seeds", orders.len());
    }

    #[test]
    fn a_crash_drops_what_runs_there_and_nothing_else() {
        let world = World::new(&Seeds::fixed(7), 0);
        let (home, away) = (world.place("home"), world.place("away"));
        let (alive, heard) = (Arc::new(()), home.clock());
        for place in [&home, &away] {
            let tasks = Tasks::new("test", 9, place.clock(), Drain::new());
            let (clock, held) = (place.clock(), Arc::clone(&alive));
            let forever = async move {
                for _ in 0..1_000 {
                    clock.sleep(Duration::from_secs(1)).await;
                    let _ = &held;
                }
            };
            tasks.spawn("forever", forever).unwrap();
        }
        let seen = Arc::clone(&alive);
        let left = world.run(&home, async move {
            heard.sleep(Duration::from_secs(5)).await;
            away.crash();
            heard.sleep(Duration::from_secs(5)).await;
            Arc::strong_count(&seen) - 2
        });
        assert_eq!(left, 1);
        assert_eq!(Arc::strong_count(&alive), 1, "the world is gone with all its tasks");
    }

    #[test]
    fn a_stopped_place_stands_still_and_its_wall_clock_can_be_wrong() {
        let world = World::new(&Seeds::fixed(3), 1_000_000);
        let (home, away) = (world.place("home"), world.place("away"));
        let told = Arc::new(Mutex::new(Vec::new()));
        let tasks = Tasks::new("test", 9, away.clock(), Drain::new());
        let (clock, tell) = (away.clock(), Arc::clone(&told));
        let ticking = async move {
            let mut every = clock.interval(Duration::from_secs(1));
            for _ in 0..1_000 {
                every.tick().await;
                lock(&tell).push(clock.monotonic().as_secs());
            }
        };
        tasks.spawn("ticking", ticking).unwrap();
        let (clock, place) = (home.clock(), away.clone());
        world.run(&home, async move {
            clock.sleep(Duration::from_millis(2_500)).await;
            place.stop();
            clock.sleep(Duration::from_secs(5)).await;
            place.go_on();
            place.jump(-60_000);
            clock.sleep(Duration::from_secs(1)).await;
            assert!((clock.now_ms() - place.clock().now_ms() - 60_000).abs() <= 1);
        });
        assert_eq!(*lock(&told), [1, 2, 7, 8]);
    }

    #[test]
    #[should_panic(expected = "every task waits for another")]
    fn a_world_in_which_nothing_can_happen_says_so() {
        let world = World::new(&Seeds::fixed(3), 0);
        let home = world.place("home");
        world.run(&home, std::future::pending::<()>());
    }
}
