"""The same environments in other people's trainers: TRL, verifiers, OpenEnv, SkyRL, Stable-Baselines3, datasets.

One file for each peer, named after it; nothing is imported before it is asked for. All of them play through
:class:`~fogline.trainers.bridges.session.Session`, so that the rewards are those of fogline's own collector.
"""
