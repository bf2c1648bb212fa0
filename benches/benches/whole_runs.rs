//! Short runs of W1 and W3, and whole runs with either agenda of the engine.

use std::hint::black_box;

use benches::{Kind, Network, Outcome, Workload};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sim_core::{Agenda, Duration, HeapAgenda, QueueAgenda};

fn short(kind: Kind) -> Workload {
    let millis = match kind {
        Kind::W1 | Kind::W2 | Kind::W5 => 500,
        Kind::W3 => 2000,
        Kind::W4a | Kind::W4b => 50,
    };
    Workload { span: Duration::from_millis(millis), ..Workload::new(kind) }
}

fn run<A: Agenda>(workload: &Workload) -> Outcome {
    workload.build::<A>().run(workload.span)
}

/// Time for each delivered packet, without that for building the network.
fn bench<A: Agenda>(criterion: &mut Criterion, group: &str, name: &str, workload: &Workload) {
    let mut group = criterion.benchmark_group(group);
    group.sample_size(10).throughput(Throughput::Elements(run::<A>(workload).delivered));
    group.bench_function(name, |bencher| {
        bencher.iter_batched(
            || workload.build::<A>(),
            |mut network: Network<A>| black_box(network.run(workload.span)),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn workloads(criterion: &mut Criterion) {
    for kind in [Kind::W1, Kind::W3] {
        bench::<HeapAgenda>(criterion, "workload", kind.name(), &short(kind));
    }
}

fn agendas(criterion: &mut Criterion) {
    for kind in [Kind::W1, Kind::W2, Kind::W4b] {
        let workload = short(kind);
        let (heap, queue) = (run::<HeapAgenda>(&workload), run::<QueueAgenda>(&workload));
        assert_eq!(heap, queue, "results depend on the agenda");
        let group = format!("agenda {kind}");
        bench::<HeapAgenda>(criterion, &group, "heap", &workload);
        bench::<QueueAgenda>(criterion, &group, "queue", &workload);
    }
}

criterion_group!(benches, workloads, agendas);
criterion_main!(benches);
