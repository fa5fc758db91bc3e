//! What goes, and what is checked: retention is ours, because a broker's knows nothing of readers; compaction is the brokers'.

use std::collections::VecDeque;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::Kafka;
use super::client::{failed, number, offset};
use crate::contract::{Journal, Partition, Report, Retention, Swept};
use crate::{Error, Result, metering};

/// How much is read at once when everything is read.
const RECORDS: usize = 4_000;
/// How many bytes of it.
const BYTES: usize = 16 << 20;

/// Removes what the policies let go and all groups have read.
pub(super) async fn retain(journal: &Kafka, policies: &[Retention]) -> Result<Swept> {
    let mut swept = Swept::default();
    let limits =
        |policy: &&Retention| policy.max_age_ms.is_some() || policy.max_records.is_some() || policy.max_bytes.is_some();
    let policies: Vec<_> = policies.iter().filter(limits).collect();
    if policies.is_empty() {
        return Ok(swept);
    }
    let unread = journal.unread().await?;
    let mut list = TopicPartitionList::new();
    for policy in policies {
        for partition in 0..journal.partitions(policy.stream) {
            let place = (policy.stream, partition);
            let earliest = journal.earliest(place.0, place.1).await?;
            let cut = cut(journal, place, earliest, policy).await?;
            let cut = unread.get(&place).map_or(cut, |unread| cut.min(*unread));
            if cut > earliest {
                let topic = journal.net.topic(place.0.name());
                list.add_partition_offset(&topic, number(partition), offset(cut)).map_err(|e| failed(&e))?;
                swept.records += cut - earliest;
            }
        }
    }
    if list.count() > 0 {
        remove(journal, &list).await?;
        metering::swept(swept.records);
    }
    Ok(swept)
}

async fn remove(journal: &Kafka, list: &TopicPartitionList) -> Result<()> {
    let config = journal.net.config();
    let admin: AdminClient<DefaultClientContext> = config.create().map_err(|e| failed(&e))?;
    let options = AdminOptions::new().request_timeout(Some(journal.net.timeout));
    let removed = admin.delete_records(list, &options).await.map_err(|e| failed(&e))?;
    removed.elements().iter().try_for_each(|element| element.error().map_err(|e| failed(&e)))
}

/// The first record that stays, if all have read what is before it.
async fn cut(journal: &Kafka, place: Partition, earliest: u64, policy: &Retention) -> Result<u64> {
    let end = journal.end(place.0, place.1).await?;
    let mut cut = earliest;
    if let Some(most) = policy.max_records {
        cut = cut.max(end.saturating_sub(most));
    }
    if let Some(age) = policy.max_age_ms {
        let oldest_ms = journal.options.clock.now_ms().saturating_sub(age);
        let asked = journal.asked(place);
        cut = cut.max(journal.inquiries.since(asked, oldest_ms).await?.unwrap_or(end));
    }
    if let Some(most) = policy.max_bytes {
        cut = cut.max(last_of_size(journal, place, cut, end, most).await?);
    }
    Ok(cut.min(end))
}

/// Where the last records begin that hold no more than so many bytes of keys and values.
async fn last_of_size(journal: &Kafka, place: Partition, from: u64, end: u64, most: u64) -> Result<u64> {
    let (mut kept, mut bytes, mut at) = (VecDeque::new(), 0, from);
    while at < end {
        let batch = journal.read(place.0, place.1, at, RECORDS, BYTES).await?;
        if batch.next <= at {
            break;
        }
        for record in &batch.records {
            let size = (record.key.len() + record.value.len()) as u64;
            kept.push_back((record.offset, size));
            bytes += size;
            while bytes > most {
                let Some((_, size)) = kept.pop_front() else { break };
                bytes -= size;
            }
        }
        at = batch.next;
    }
    Ok(kept.front().map_or(end, |(offset, _)| *offset))
}

/// Reads everything. What the brokers' checksums do not let through is named.
pub(super) async fn verify(journal: &Kafka) -> Result<Report> {
    let mut report = Report::default();
    let places: Vec<_> = journal.options.topology.all().collect();
    for (stream, partition) in places {
        let mut at = journal.earliest(stream, partition).await?;
        let end = journal.end(stream, partition).await?;
        while at < end {
            match journal.read(stream, partition, at, RECORDS, BYTES).await {
                Ok(batch) if batch.next > at => {
                    report.records += batch.records.len() as u64;
                    report.bytes += batch.records.iter().map(|r| (r.key.len() + r.value.len()) as u64).sum::<u64>();
                    at = batch.next;
                }
                Ok(_) => {
                    report.faults.push(format!("{stream}/{partition} ends at {at}, and the brokers say {end}"));
                    break;
                }
                Err(Error::Damaged { stream, partition, offset, reason }) => {
                    report.damaged.push(crate::Damage { stream, partition, from: offset, to: offset + 1, reason });
                    break;
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(report)
}
