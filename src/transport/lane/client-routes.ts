/** A client's sockets: one for each route, and of the routes of a path those that the first answer did not come by are closed. */
import type { Us } from '../../core/lane/contract.ts';
import { type PeerAddress, peerAddress } from './address.ts';
import { type DrivenLane, rememberedRate } from './driven-lane.ts';
import type { HelloRoutes } from './hello-routes.ts';
import type { DatagramPort } from './port.ts';
import type { FromThread, Route, ToThread } from './thread-messages.ts';

export interface RouteEnvironment {
  readonly nowUs: () => Us;
  readonly openPort: (options: {
    host: string;
    port: number;
    device?: string;
    hearsRefusals: boolean;
    segmentation: boolean;
    onError: (code: string, address: PeerAddress | null) => void;
  }) => Promise<DatagramPort>;
  readonly closePort: (port: DatagramPort) => void;
  readonly post: (message: FromThread) => void;
  readonly wake: () => void;
}

export class ClientRoutes {
  private readonly driven: DrivenLane;
  private readonly message: Extract<ToThread, { op: 'open' }>;
  private readonly environment: RouteEnvironment;
  /** Open sockets, by path. */
  private readonly ports = new Map<number, DatagramPort[]>();
  /** Codes of the routes that cannot be used. */
  private readonly failures = new Map<Route, string>();
  private readonly settled = new Set<number>();
  private closed = false;

  /** `greeted`: the routes by which the lane was asked for, of which one has brought the answer. */
  constructor(
    driven: DrivenLane,
    message: Extract<ToThread, { op: 'open' }>,
    environment: RouteEnvironment,
    greeted: ReturnType<HelloRoutes['take']> = null,
  ) {
    this.driven = driven;
    this.message = message;
    this.environment = environment;
    if (greeted) this.takeOver(greeted);
    else for (const route of message.routes) void this.begin(route);
  }

  /** An authentic packet came by this port. */
  handleAnswer(pathId: number, port: DatagramPort): void {
    if (this.settled.has(pathId)) return;
    this.settled.add(pathId);
    for (const other of this.ports.get(pathId) ?? []) if (other !== port) this.environment.closePort(other);
    this.ports.set(pathId, [port]);
  }

  close(): void {
    this.closed = true;
    for (const ports of this.ports.values()) for (const port of ports) this.environment.closePort(port);
    this.ports.clear();
  }

  /** One way is known to be good, both ways and for packets of full size: its path is open. Those of other paths are tried. */
  private takeOver({ answered, others }: NonNullable<ReturnType<HelloRoutes['take']>>): void {
    const { pathId } = answered.route;
    this.settled.add(pathId);
    for (const one of others) {
      one.onError = (code) => this.handleError(one.route, code);
      if (one.port === answered.port) {
        this.ports.set(pathId, [one.port]);
        this.addPath(answered.route, one.port, answered.address, { rttUs: answered.rttUs, opened: true });
      } else if (one.route.pathId === pathId) this.environment.closePort(one.port);
      else this.use(one.route, one.port, one.address);
    }
  }

  private async begin(route: Route): Promise<void> {
    const { environment, message } = this;
    const { pathId, local, device, host, port } = route;
    try {
      const opened = await environment.openPort({
        host: local,
        port: 0,
        ...(device === null ? {} : { device }),
        hearsRefusals: true,
        segmentation: message.segmentation,
        onError: (code) => this.handleError(route, code),
      });
      if (this.closed || this.settled.has(pathId)) environment.closePort(opened);
      else this.use(route, opened, peerAddress(host, port));
    } catch (error) {
      this.handleError(route, (error as NodeJS.ErrnoException).code ?? 'EIO');
    }
    environment.wake();
  }

  private use(route: Route, port: DatagramPort, address: PeerAddress): void {
    const { driven, message } = this;
    const { pathId } = route;
    const path = driven.paths.get(pathId);
    this.ports.set(pathId, [...(this.ports.get(pathId) ?? []), port]);
    if (path) {
      path.alternatives.push({ port, address });
      return;
    }
    this.addPath(route, port, address, message.rttMs === null ? {} : { rttUs: message.rttMs * 1000 });
  }

  private addPath(route: Route, port: DatagramPort, address: PeerAddress, more: { rttUs?: Us; opened?: true }): void {
    const { pathId, metered } = route;
    this.driven.addPath(this.environment.nowUs(), pathId, port, address, {
      validated: true,
      ...(metered ? { standby: true } : {}),
      ...more,
      ...rememberedRate(this.message),
    });
  }

  /** Before the first answer it counts against its route; later it may pass, and the Lane finds out by itself. */
  private handleError(route: Route, code: string): void {
    this.driven.noteSendError(code);
    if (this.settled.size > 0 || this.closed || this.failures.has(route)) return;
    this.failures.set(route, code);
    const { routes, lane } = this.message;
    if (this.failures.size === routes.length)
      this.environment.post({ op: 'open-failed', lane, codes: [...this.failures.values()] });
  }
}
