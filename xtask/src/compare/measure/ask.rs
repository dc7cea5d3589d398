//! One run of a service within the rounds.

use std::time::Duration;

use anyhow::Result;

use crate::compare::{
    measure::{
        clients::{Clients, LoadReport, PORT},
        purpose::Purpose,
        rounds::Rounds,
        run::{Measurement, RunOptions},
        server::{Protocol, free_port, serve},
    },
    plan::{
        command::{CommandTemplate, Invocation, Request},
        entrant::Entrant,
        query::Query,
    },
    result::{Served, Subject, seconds},
};

impl Rounds<'_> {
    /// Starts the entrant's server and runs the clients that the purpose needs. For a load, wall
    /// and processor time are those of the load; for a start, those until the server is ready.
    pub(crate) fn serve(
        &self,
        clients: &Clients,
        entrant: &Entrant,
        query: &Query,
        purpose: Purpose,
        options: RunOptions,
    ) -> Result<Measurement> {
        let scratch = self.scratch();
        let out = options.keep.as_ref().map(|(out, _)| out.try_clone()).transpose()?;
        let (call, protocol) = with_free_port(&entrant.call)?;
        let request = Request { query, subject: &Subject::default() };
        let Invocation { command, .. } = call.command(request, &scratch)?;
        let (mut measurement, found) = serve(command, protocol, options, &scratch, |server| match purpose {
            Purpose::Start => Ok(None),
            Purpose::Talk => clients.talk(server, out).map(|()| None),
            Purpose::Extra => clients.extra(server).map(|served| Some((served, None))),
            Purpose::Load => {
                let (load, cpu) = clients.load(server, &self.work.input.measured.args)?;
                Ok(Some((Served::of(&load, cpu), Some((load.wall_s, cpu)))))
            }
        })?;
        if let Some((served, timed)) = found {
            measurement.served = Some(served);
            if let Some((wall, cpu)) = timed {
                (measurement.wall, measurement.cpu) = (Duration::from_secs_f64(wall), cpu);
            }
        }
        Ok(measurement)
    }
}

impl Served {
    fn of(load: &LoadReport, cpu: Duration) -> Self {
        let requests = load.requests as f64;
        Self {
            requests: Some(requests),
            pipelined_per_s: Some(load.requests_per_s),
            pipelined_cpu_s: Some(seconds(cpu) / requests.max(1.0)),
            ..Self::default()
        }
    }
}

/// Replaces `{port}` in the arguments by a free port. A program without that argument announces its
/// address itself.
pub(crate) fn with_free_port(call: &CommandTemplate) -> Result<(CommandTemplate, Protocol)> {
    if !call.args.iter().any(|arg| arg.contains(PORT)) {
        return Ok((call.clone(), Protocol::Announces));
    }
    let port = free_port()?;
    let args = call.args.iter().map(|arg| arg.replace(PORT, &port.to_string())).collect();
    Ok((CommandTemplate { args, ..call.clone() }, Protocol::AcceptsAt(port)))
}
