//! Where a run is tracked, beside its own folder.

use std::fmt;
use std::ops::ControlFlow;

use sconce::engine::evaluate::Evaluation;
use sconce::engine::{self, Event, Observer, Run};

#[cfg(feature = "mlflow")]
use self::mlflow::Wanted;

/// Where a run is tracked.
#[derive(Debug, clap::Args)]
pub(crate) struct TrackingArgs {
    #[cfg(feature = "mlflow")]
    #[arg(
        long,
        value_name = "URL",
        num_args = 0..=1,
        default_missing_value = "",
        value_parser = mlflow::address,
        help = "Also send the run to the MLflow server at this address; without one, to that of MLFLOW_TRACKING_URI"
    )]
    mlflow: Option<Wanted>,
    #[cfg(feature = "mlflow")]
    #[arg(
        long,
        value_name = "NAME",
        requires = "mlflow",
        help = "The experiment that it belongs to there [default: MLFLOW_EXPERIMENT_NAME, or the name of the data set]"
    )]
    mlflow_experiment: Option<String>,
}

impl TrackingArgs {
    /// The same, as another process of this program is given it.
    #[cfg_attr(not(feature = "mlflow"), expect(clippy::unused_self, reason = "for others"))]
    pub(crate) fn arguments(&self) -> Vec<String> {
        #[cfg(feature = "mlflow")]
        {
            let address = self.mlflow.iter().map(|server| format!("--mlflow={}", server.address()));
            let experiment = self.mlflow_experiment.iter();
            let experiment = experiment.map(|name| format!("--mlflow-experiment={name}"));
            address.chain(experiment).collect()
        }
        #[cfg(not(feature = "mlflow"))]
        Vec::new()
    }
}

/// Sends a run where it is wanted; nowhere, unless that was asked for.
#[derive(Default)]
pub(crate) struct Tracking {
    #[cfg(feature = "mlflow")]
    mlflow: Option<engine::observe::MlFlow>,
}

impl fmt::Debug for Tracking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracking").finish_non_exhaustive()
    }
}

impl Tracking {
    /// For a run that is about to begin, or to go on.
    #[cfg(feature = "mlflow")]
    pub(crate) fn begin(args: &TrackingArgs, run: &Run<'_>) -> anyhow::Result<Self> {
        let begin = |wanted| mlflow::begin(wanted, args.mlflow_experiment.as_deref(), run);
        Ok(Self { mlflow: args.mlflow.as_ref().map(begin).transpose()? })
    }

    #[cfg(not(feature = "mlflow"))]
    pub(crate) fn begin(_: &TrackingArgs, _: &Run<'_>) -> anyhow::Result<Self> {
        Ok(Self::default())
    }

    /// Says what the run came to. One that is dropped without has failed.
    #[cfg_attr(
        not(feature = "mlflow"),
        expect(unused_variables, clippy::unused_self, reason = "for others")
    )]
    pub(crate) fn end(&mut self, stopped: bool, evaluation: Option<&Evaluation>) {
        #[cfg(feature = "mlflow")]
        if let Some(mlflow) = &mut self.mlflow {
            use engine::observe::RunStatus::{Finished, Killed};
            if let Some(evaluation) = evaluation {
                mlflow.scores(evaluation);
            }
            mlflow.end(if stopped { Killed } else { Finished });
        }
    }
}

impl Observer for Tracking {
    #[cfg_attr(not(feature = "mlflow"), expect(unused_variables, reason = "for others"))]
    fn on(&mut self, event: &Event<'_>) -> engine::Result<ControlFlow<()>> {
        #[cfg(feature = "mlflow")]
        if let Some(mlflow) = &mut self.mlflow {
            return mlflow.on(event);
        }
        Ok(ControlFlow::Continue(()))
    }
}

#[cfg(feature = "mlflow")]
mod mlflow {
    use std::env;

    use sconce::engine::Run;
    use sconce::engine::observe::{MlFlow, MlFlowLogin, MlFlowRun, MlFlowServer};

    use crate::progress::note;

    /// A server that was asked for.
    pub(super) type Wanted = MlFlowServer;

    /// A variable of the environment, where it says something.
    fn variable(name: &str) -> Option<String> {
        env::var(name).ok().filter(|value| !value.is_empty())
    }

    /// The address on the command line, or, where it is empty, that of the environment; with the login of the environment, as
    /// MLflow's own client has it.
    pub(super) fn address(text: &str) -> Result<MlFlowServer, String> {
        let named;
        let text = match text {
            "" => {
                named = variable("MLFLOW_TRACKING_URI").ok_or(
                    "there is no address; give one, such as http://localhost:5000, or set MLFLOW_TRACKING_URI",
                )?;
                &named
            }
            text => text,
        };
        let server = MlFlowServer::at(text).map_err(|error| error.to_string())?;
        let user = variable("MLFLOW_TRACKING_USERNAME");
        let password = variable("MLFLOW_TRACKING_PASSWORD");
        let login = match (user, password, variable("MLFLOW_TRACKING_TOKEN")) {
            (Some(user), Some(password), _) => MlFlowLogin::Password(user, password),
            (_, _, Some(token)) => MlFlowLogin::Token(token),
            _ => MlFlowLogin::None,
        };
        Ok(server.with_login(login))
    }

    pub(super) fn begin(
        server: &MlFlowServer,
        experiment: Option<&str>,
        run: &Run<'_>,
    ) -> anyhow::Result<MlFlow> {
        let named = experiment.map(str::to_owned).or_else(|| variable("MLFLOW_EXPERIMENT_NAME"));
        let experiment = named.unwrap_or_else(|| run.dataset.description().name.clone());
        let user = ["LOGNAME", "USER", "USERNAME"].into_iter().find_map(variable);
        let run = MlFlowRun {
            experiment: &experiment,
            user: user.as_deref(),
            command: run.command,
            config: run.config,
            folder: run.folder,
            resume: run.resume,
        };
        Ok(MlFlow::new(server.clone(), &run, note)?)
    }
}
