"""Every knob of a method, in one frozen model; a recipe takes those that it reads and refuses the others."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

Credit = Literal["group", "leave-one-out", "length-weighted", "pass-at-k", "gpg", "returns", "gae"]
Aggregation = Literal["token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm"]
TokenLoss = Literal["clipped", "gspo", "cispo", "gppo", "ce-gppo", "aspo", "sapo", "gmpo", "dgpo"]


class RecipeOptions(BaseModel):
    """Settings of a method's parts.

    Attributes:
        advantage: Who is compared with whom. ``group``: reward minus the group's mean; ``leave-one-out``: minus the
            mean of the others; ``length-weighted`` (OPO); ``pass-at-k``: only the best of a group; ``gpg``;
            ``returns``: rewards to go of each token; ``gae``: a critic's.
        scale: What ``group`` divides by: the ``group``'s deviation, the ``batch``'s, or nothing.
        ddof: 1 for the unbiased deviation, 0 for the population's.
        epsilon: Added to the deviation.
        advantage_clip: Largest absolute advantage; None for no bound.
        whiten: Whether token advantages are whitened over the batch.
        discount: Of rewards, per policy token.
        trace: λ of generalised advantage estimation.
        clip_low: The ratio may fall to ``1 - clip_low``.
        clip_high: The ratio may rise to ``1 + clip_high`` (CISPO in TRL's form: the absolute cap).
        dual_clip: Bound of the ratio where the advantage is negative; None for none.
        aggregation: How token losses become one number.
        length_normaliser: Tokens that ``seq-mean-token-sum-norm`` divides by; the longest row by default.
        kl_coefficient: Weight of the divergence from the reference; 0 needs no reference.
        kl_estimator: ``k1``, ``k2`` or ``k3`` (Schulman's names).
        kl_clamp: Largest absolute value of a token's estimate; None for no bound.
        kl_placement: Subtracted from the ``reward`` (k1, summed over the row), or a term of the ``loss``.
        entropy_coefficient: Weight of the entropy bonus.
        value_coefficient: Weight of the critic's squared error.
        value_clip: Bound of the critic's step, as in PPO; None for none.
        dynamic_sampling: Drop groups whose members all earned the same, and refill.
        max_generation_batches: How often a batch may be refilled.
        overlong_length: Policy tokens of a row beyond which the soft overlong punishment is full; None turns it off.
        overlong_buffer: Length of its ramp, in tokens.
        cispo_variant: ``verl``: the ratio is clipped on both sides. ``trl``: capped from above only.
        left_weight: CE-GPPO's β₁, on tokens below the band.
        right_weight: CE-GPPO's β₂, on tokens above it.
        cap_positive: ASPO's bound of the inverse ratio.
        cap_negative: ASPO's bound of the ratio.
        temperature_positive: SAPO's τ for positive advantages.
        temperature_negative: SAPO's τ for the others.
        left_power: DGPO's n: below the band the weight falls with this power of the ratio.
        right_root: DGPO's m: above the band it falls with this root.
        loss: Which token loss lies under DynaMO.
        allocator: How DynaMO shares out episodes: the ``exact`` optimum in the box, the ``released`` rule, or
            ``uniform``, as many for each task.
        proxy_power: DynaMO takes the Bernoulli variance to this power for the deviation of a task: 1 as released, 0.5
            for what the theorem says.
        rollouts_low: Fewest episodes of a task; half of the group size by default.
        rollouts_high: Most episodes of a task; one and a half times the group size by default.
        exploration: Episodes that a task is owed before its statistics count.
        prompt_weighting: Whether a row weighs as its tokens say, or one over the episodes of its task (``prompt``), so
            that every task counts the same however many it was given.
        compensation: DynaMO's α: how much positive advantages of the most certain token are lifted.
        stabilisation: DynaMO's λ: what is left of the advantage that changes the entropy most; 1 leaves all.
        stabilisation_slope: Its γ.
        stabilisation_threshold: Its τ, as a share of the largest change.
        entropy_baseline: Whether the expected change is over the ``vocabulary``, which is exact, or the mean over the
            row's sampled tokens (``sequence``), as released; densities have no vocabulary.
        modulation_scope: Whether extremes are taken over the optimiser's ``mini-batch``, so that nothing depends on
            how it is split (one more forward pass where it is), or over each ``micro-batch``, as released.
        schema_coefficient: λ of Dual-Track GRPO, on the loss of the schema track.
        mixing: How Dual-Track's two rewards meet: ``dual`` (the paper), ``naive`` (one summed reward on all tokens),
            ``weighted`` (advantages added before one loss), ``reward-weighted`` (the release's default).
        schema_term: Session term that the schema track reads.
        session_weight: w_s of DuCA: weight of the session's advantage.
        turn_weight: w_t of DuCA, and λ of MT-GRPO: weight of the turns' advantage.
        turn_discount: γ_T of turn returns; 0 leaves every turn to answer for itself, which says nothing about how long
            a session should be, and reaches no earlier turn where the environment pays by turns alone.
        turn_scope: Who is compared with whom: the same turn of a group (``group_turn``), all turns of a ``group`` or
            of the ``batch``, or the mean of the same turn of a group with one deviation over the batch.
        rescale: Whether the fused advantage is divided by √(w_s² + w_t²); ``batch`` whitens it over the batch.
        leave_one_out: Whether values are compared with the mean of the others only.
        floor: Deviations up to here are no signal.
        per_component: Whether each turn term is normalised on its own before they are added.
        component_weights: Weights, once they are normalised, of what the turn terms paid, for ``per_component`` and
            GDPO, where ``session_reward`` is one of them; 1 where missing. Of the environment's own weights only the
            sign is left, and terms that it does not pay stay out.
        distillation_coefficient: Weight of what the teacher says, beside a task's reward where there is one.
        final_distillation_coefficient: KDRL anneals its weight to this on a straight line; None keeps it.
        distillation_estimator: How a sampled token measures the divergence: ``k1``, ``k2`` or ``k3``.
        distillation_gradient: Whether that is an advantage (``policy``) or a loss that is differentiated (``direct``).
        distillation_discount: How much of what later tokens earn is credited to a token; 0 for none.
        length_normalised: Divide that sum by the sum of its discounts (MiniLLM).
        task_weight: Weight of the task's own advantage beside the teacher's.
        surrogate: Whether the policy gradient's ratio is left as it is (``ratio``) or ``clipped`` as PPO's.
        top_k: How many of the teacher's likeliest tokens are read; None for the whole vocabulary.
        gate_threshold: AOPD's τ: a token is imitated where q(y) - p(y) is at most this; -1 is OPD, 1 imitates all.
        imitation_coefficient: Weight of AOPD's and EOPD's imitation.
        imitation_reduction: Whether the truncated divergence is divided by K (``mean_k``, as quoted) or not (``sum``).
        tail: Whether what lies outside the top K counts as one more token (``bucket``): then the fixed point is the
            teacher; or not (``none``, as quoted).
        jsd_weight: GKD's β: 0 is the forward divergence, 1 the reverse.
        single_step: Whether MiniLLM adds the whole reverse divergence of each place.
        extrapolation: G-OPD's λ; above 1 the student is led beyond the teacher (ExOPD).
        skew: DistiLLM's α.
        skew_direction: ``forward`` or ``reverse``.
        entropy_threshold: EOPD imitates where the teacher's entropy is above this, in nats.
        prefix_strength: IW-OPD's γ: how much more early tokens count.
        skip_correct: Whether KDRL's divergence leaves out rows that are right.
        correct_threshold: A row is right when it earned more; None takes rewards of 0 and 1, and nothing else.
        perplexity_temperature: SCOPE's τ.
        student_weight: SCOPE's weight of right rows by the student's ``perplexity``, ``inverse-perplexity`` (what the
            released flags amount to) or ``uniform``.
        teacher_weight: SCOPE's weight of wrong rows by the teacher's ``inverse-perplexity``, ``perplexity`` or
            ``uniform``.
        weight_norm: Weights of a path add up to 1 (``sum``, the paper) or have mean 1 (``mean``, the release).
        wrong_loss: SCOPE corrects wrong rows by ``opd``, or by ``aopd``'s token loss: our composition, in no paper.
        drop_truncated: Whether SCOPE leaves out rows that a budget cut.
        process_gate: PGPO's gate on what answer and form earn: the process score itself (``soft``), 1 from
            ``process_threshold`` on (``hard``), or none (``off``), the ablation.
        process_threshold: Of the hard gate.
        answer_weight: w_a of a right answer.
        format_weight: w_f of a reply of the grammar.
        step_aggregation: How PGPO makes one process score of those of a critic's steps: ``mean``, ``min``, ``prod`` or
            ``last``; a critic with a finished score is taken at its word.
        shortcut_cap: Most that a reply without an anchor that points at something can score with a critic.
        step_credit: Weight of how much better a token's step is than the steps of its group, beside the advantage of
            the whole reply; our extension of PGPO, in no paper, and off by default.
        filter_on: What has to differ within a group that PGPO keeps: ``accuracy``, as in LSPO, or the gated ``reward``,
            which differs in groups that are all right but read unequally well; ``none`` keeps every group and length.
        length_low: Quantile up to which groups are short enough to be kept.
        length_high: Quantile from which they are long enough.
        length_top: Quantile beyond which they are too long.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    advantage: Credit = "group"
    scale: Literal["group", "batch", "none"] = "group"
    ddof: Literal[0, 1] = 1
    epsilon: float = Field(default=1e-6, ge=0)
    advantage_clip: float | None = Field(default=None, gt=0)
    whiten: bool = False
    discount: float = Field(default=1.0, ge=0, le=1)
    trace: float = Field(default=0.95, ge=0, le=1)
    clip_low: float = Field(default=0.2, ge=0)
    clip_high: float = Field(default=0.2, ge=0)
    dual_clip: float | None = Field(default=None, gt=1)
    aggregation: Aggregation = "token-mean"
    length_normaliser: int | None = Field(default=None, ge=1)
    kl_coefficient: float = Field(default=0.0, ge=0)
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    kl_clamp: float | None = Field(default=None, gt=0)
    kl_placement: Literal["loss", "reward"] = "loss"
    entropy_coefficient: float = Field(default=0.0, ge=0)
    value_coefficient: float = Field(default=0.5, ge=0)
    value_clip: float | None = Field(default=None, gt=0)
    dynamic_sampling: bool = False
    max_generation_batches: int = Field(default=4, ge=1)
    overlong_length: int | None = Field(default=None, ge=1)
    overlong_buffer: int = Field(default=128, ge=1)
    cispo_variant: Literal["verl", "trl"] = "verl"
    left_weight: float = Field(default=0.75, ge=0)
    right_weight: float = Field(default=1.0, ge=0)
    cap_positive: float = Field(default=3.0, gt=0)
    cap_negative: float = Field(default=3.0, gt=0)
    temperature_positive: float = Field(default=1.0, gt=0)
    temperature_negative: float = Field(default=1.05, gt=0)
    left_power: int = Field(default=1, ge=1)
    right_root: int = Field(default=2, ge=1)
    loss: TokenLoss = "clipped"
    allocator: Literal["exact", "released", "uniform"] = "exact"
    proxy_power: float = Field(default=1.0, gt=0, le=1)
    rollouts_low: int | None = Field(default=None, ge=1)
    rollouts_high: int | None = Field(default=None, ge=1)
    exploration: int = Field(default=4, ge=0)
    prompt_weighting: Literal["token", "prompt"] = "token"
    compensation: float = Field(default=0.2, ge=0, allow_inf_nan=False)
    stabilisation: float = Field(default=0.6, ge=0, le=1)
    stabilisation_slope: float = Field(default=50.0, ge=0, allow_inf_nan=False)
    stabilisation_threshold: float = Field(default=0.99, ge=0, le=1)
    entropy_baseline: Literal["vocabulary", "sequence"] = "vocabulary"
    modulation_scope: Literal["mini-batch", "micro-batch"] = "mini-batch"
    schema_coefficient: float = Field(default=0.25, ge=0)
    mixing: Literal["dual", "naive", "weighted", "reward-weighted"] = "dual"
    schema_term: str = "schema"
    session_weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    turn_weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    turn_discount: float = Field(default=0.0, ge=0, le=1)
    turn_scope: Literal["group_turn", "group", "batch", "turn_centre_batch_scale"] = "turn_centre_batch_scale"
    rescale: bool | Literal["batch"] = True
    leave_one_out: bool = False
    floor: float = Field(default=1e-8, ge=0)
    per_component: bool = False
    component_weights: dict[str, FiniteFloat] = Field(default_factory=dict)
    distillation_coefficient: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    final_distillation_coefficient: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    distillation_estimator: Literal["k1", "k2", "k3"] = "k1"
    distillation_gradient: Literal["policy", "direct"] = "policy"
    distillation_discount: float = Field(default=0.0, ge=0, le=1)
    length_normalised: bool = False
    task_weight: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    surrogate: Literal["ratio", "clipped"] = "ratio"
    top_k: int | None = Field(default=16, ge=1)
    gate_threshold: float = Field(default=0.0, allow_inf_nan=False)
    imitation_coefficient: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    imitation_reduction: Literal["mean_k", "sum"] = "mean_k"
    tail: Literal["none", "bucket"] = "none"
    jsd_weight: float = Field(default=0.5, ge=0, le=1)
    single_step: bool = True
    extrapolation: float = Field(default=1.25, ge=0, allow_inf_nan=False)
    skew: float = Field(default=0.1, ge=0, lt=1)
    skew_direction: Literal["forward", "reverse"] = "forward"
    entropy_threshold: float = Field(default=0.8, ge=0, allow_inf_nan=False)
    prefix_strength: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    skip_correct: bool = False
    correct_threshold: float | None = Field(default=None, allow_inf_nan=False)
    perplexity_temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    student_weight: Literal["perplexity", "inverse-perplexity", "uniform"] = "perplexity"
    teacher_weight: Literal["perplexity", "inverse-perplexity", "uniform"] = "inverse-perplexity"
    weight_norm: Literal["sum", "mean"] = "sum"
    wrong_loss: Literal["opd", "aopd"] = "opd"
    drop_truncated: bool = False
    process_gate: Literal["soft", "hard", "off"] = "soft"
    process_threshold: float = Field(default=0.5, ge=0, le=1)
    answer_weight: float = Field(default=0.9, ge=0, allow_inf_nan=False)
    format_weight: float = Field(default=0.1, ge=0, allow_inf_nan=False)
    step_aggregation: Literal["mean", "min", "prod", "last"] = "mean"
    shortcut_cap: float = Field(default=0.5, ge=0, le=1)
    step_credit: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    filter_on: Literal["accuracy", "reward", "none"] = "accuracy"
    length_low: float = Field(default=0.3, ge=0, le=1)
    length_high: float = Field(default=0.65, ge=0, le=1)
    length_top: float = Field(default=0.95, ge=0, le=1)
