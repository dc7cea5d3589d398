//! One run of a service among the rounds.

use std::time::Duration;

use anyhow::Result;

use crate::compare::{
    measure::{
        clients::{Clients, Loaded, PORT},
        purpose::Purpose,
        rounds::Rounds,
        run::{Measurement, RunOptions},
        server::{Manner, free_port, serve},
    },
    plan::{
        command::{CommandTemplate, Invocation, Request},
        entrant::Entrant,
        query::Query,
    },
    result::{Served, Subject, seconds},
};

impl Rounds<'_> {
    /// Starts the entrant's server and asks it what this run is for. The time and the cores' are
    /// those of the load; of a server that is only started, until it serves.
    pub(crate) fn serve(
        &self,
        clients: &Clients,
        entrant: &Entrant,
        query: &Query,
        purpose: Purpose,
        plan: RunOptions,
    ) -> Result<Measurement> {
        let scratch = self.scratch();
        let out = plan.keep.as_ref().map(|(out, _)| out.try_clone()).transpose()?;
        let (call, manner) = with_free_port(&entrant.call)?;
        let request = Request { query, subject: &Subject::default() };
        let Invocation { command, .. } = call.command(request, &scratch)?;
        let (mut seen, found) = serve(command, manner, plan, &scratch, |server| match purpose {
            Purpose::Start => Ok(None),
            Purpose::Talk => clients.talk(server, out).map(|()| None),
            Purpose::Extra => clients.extra(server).map(|served| Some((served, None))),
            Purpose::Load => {
                let (load, cpu) = clients.load(server, &self.work.input.measured.args)?;
                Ok(Some((Served::of(&load, cpu), Some((load.wall_s, cpu)))))
            }
        })?;
        if let Some((served, timed)) = found {
            seen.served = Some(served);
            if let Some((wall, cpu)) = timed {
                (seen.wall, seen.cpu) = (Duration::from_secs_f64(wall), cpu);
            }
        }
        Ok(seen)
    }
}

impl Served {
    fn of(load: &Loaded, cpu: Duration) -> Self {
        let requests = load.requests as f64;
        Self {
            requests: Some(requests),
            pipelined_per_s: Some(load.requests_per_s),
            pipelined_cpu_s: Some(seconds(cpu) / requests.max(1.0)),
            ..Self::default()
        }
    }
}

/// A program that has to be given a port gets one that is free.
pub(crate) fn with_free_port(call: &CommandTemplate) -> Result<(CommandTemplate, Manner)> {
    if !call.args.iter().any(|arg| arg.contains(PORT)) {
        return Ok((call.clone(), Manner::Says));
    }
    let port = free_port()?;
    let args = call.args.iter().map(|arg| arg.replace(PORT, &port.to_string())).collect();
    Ok((CommandTemplate { args, ..call.clone() }, Manner::Accepts(port)))
}
